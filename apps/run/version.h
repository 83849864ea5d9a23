#pragma once
// What this program is: for --version, reports, and the benchmarks' records.

namespace vapo::app {

const char* version();  // "0.2.0"
const char* commit();   // of the tree that was built, abbreviated; empty where it was no git checkout

}  // namespace vapo::app
