// Runs a fuzz target where the compiler brings no libFuzzer, with the same command line: [-runs=N] [-seed=N]
// corpus… Every input is a file of the corpus, mutated: bits, bytes, numbers, cut, doubled, spliced, words of the
// formats. Deterministic by seed; an input that fails is written to crash-input.

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

std::string current;

void keep_input(int signal) {
  std::ofstream("crash-input", std::ios::binary) << current;
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

class Mutator {
 public:
  Mutator(std::vector<std::string> corpus, uint64_t seed) : corpus_(std::move(corpus)), random_(seed) {
    for (const std::string& s : corpus_) most_ = std::max(most_, s.size() + s.size() / 4);
  }

  std::string next() {
    std::string s = corpus_[below(corpus_.size())];
    for (size_t n = 1 + below(6); n > 0; --n) mutate(s);
    return s;
  }

 private:
  size_t below(size_t n) { return n == 0 ? 0 : random_() % n; }

  void mutate(std::string& s) {
    static const std::vector<std::string> words = {"{",
                                                   "}",
                                                   "[",
                                                   "]",
                                                   "\"",
                                                   "'",
                                                   ",",
                                                   ":",
                                                   "=",
                                                   "\n",
                                                   "\t",
                                                   "#",
                                                   "-1",
                                                   "0",
                                                   "1e999",
                                                   "nan",
                                                   "-inf",
                                                   "1e-400",
                                                   ".",
                                                   "18446744073709551615",
                                                   "9223372036854775807",
                                                   "99999999999999999999",
                                                   "null",
                                                   "true",
                                                   "\\u0000",
                                                   "\xff\xfe",
                                                   "\"__metadata__\"",
                                                   "\"shape\"",
                                                   "\"dtype\"",
                                                   "\"data_offsets\"",
                                                   "F32",
                                                   "F64",
                                                   "I64",
                                                   "BF16",
                                                   "descr",
                                                   "fortran_order",
                                                   "shape",
                                                   "True",
                                                   "False",
                                                   "<f8",
                                                   ">i2",
                                                   "|O",
                                                   "\x93NUMPY",
                                                   "[train]",
                                                   "steps",
                                                   "hidden = [",
                                                   std::string(8, '\0'),
                                                   std::string("\xff\xff\xff\xff\xff\xff\xff\x7f", 8)};
    size_t at = below(s.size() + 1), length = below(std::min<size_t>(s.size() - at, 32) + 1);
    switch (below(9)) {
      case 0:
        if (!s.empty()) s[below(s.size())] ^= static_cast<char>(1 << below(8));
        break;
      case 1:
        if (!s.empty()) s[below(s.size())] = static_cast<char>(below(256));
        break;
      case 2:
        s.insert(at, words[below(words.size())]);
        break;
      case 3:
        s.replace(at, length, words[below(words.size())]);
        break;
      case 4:
        s.erase(at, length);
        break;
      case 5:
        s.resize(at);
        break;
      case 6:
        s.insert(below(s.size() + 1), s.substr(at, length));
        break;
      case 7: {
        const std::string& other = corpus_[below(corpus_.size())];
        s = s.substr(0, at) + other.substr(below(other.size() + 1));
        break;
      }
      default:
        s.insert(at, 1 + below(64), static_cast<char>(below(256)));
    }
    if (s.size() > most_) s.resize(most_);
  }

  std::vector<std::string> corpus_;
  size_t most_ = 4096;  // bytes of an input
  std::mt19937_64 random_;
};

}  // namespace

int main(int argc, char** argv) {
  uint64_t runs = 100'000, seed = 1;
  std::vector<std::string> corpus;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    if (word.starts_with("-runs=")) {
      runs = std::stoull(word.substr(6));
    } else if (word.starts_with("-seed=")) {
      seed = std::stoull(word.substr(6));
    } else {
      for (const auto& entry : std::filesystem::directory_iterator(word)) {
        std::ifstream file(entry.path(), std::ios::binary);
        corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
      }
    }
  }
  if (corpus.empty()) {
    std::cerr << "usage: " << argv[0] << " [-runs=N] [-seed=N] CORPUS_FOLDER...\n";
    return 2;
  }
  std::sort(corpus.begin(), corpus.end());  // a folder has no order
  for (int signal : {SIGABRT, SIGSEGV, SIGFPE, SIGBUS}) std::signal(signal, keep_input);
  auto try_one = [](std::string input) {
    current = std::move(input);
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(current.data()), current.size());
  };
  for (const std::string& s : corpus) try_one(s);
  Mutator mutator(corpus, seed);
  for (uint64_t i = 0; i < runs; ++i) try_one(mutator.next());
  std::cout << "fuzz: " << runs << " inputs from " << corpus.size() << " files, none failed\n";
  return 0;
}
