#pragma once
// Standard output and standard error of the program: results must arrive, messages need not.

#include <string_view>

namespace vapo::app {

// Call before anything opens a file. Descriptors 0, 1 and 2 that are closed are taken, so that no file gets the
// number of a standard stream and messages into it; a closed standard output stays one that cannot be written. A
// reader that goes away is an error of write(), no signal.
void open_standard_streams();

// Whole to standard output; throws IoError where that fails.
void write_output(std::string_view text);
// To standard error. Dropped where that is closed or full, its terminal gone, or a pipe that nobody empties.
void write_error(std::string_view text) noexcept;

}  // namespace vapo::app
