// One fuzz target for each reader of files: VAPO_FUZZ says which. Whatever the bytes, a reader returns or throws
// InputError with one line that names the file; what it accepts, it accepts again after being written.

#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>

#include "apps/config.h"
#include "data/points.h"
#include "tensor/io/npy.h"
#include "tensor/io/safetensors.h"

namespace {

using namespace vapo;

void require(bool good, std::string_view what) {
  if (good) return;
  std::cerr << "fuzz: " << what << '\n';
  std::abort();
}

[[maybe_unused]] void read_safetensors(std::string_view bytes) {
  TensorFile file = parse_safetensors(bytes, "the input");
  for (const auto& [name, x] : file.tensors)
    require(x.defined() && x.bytes() <= 8 * bytes.size(), "a tensor larger than its file");
}

[[maybe_unused]] void read_npy(std::string_view bytes) {
  Tensor x = parse_npy(bytes, "the input");
  require(x.bytes() <= 8 * bytes.size(), "a tensor larger than its file");
}

[[maybe_unused]] void read_csv(std::string_view bytes) {
  data::Table table = data::parse_csv(bytes, "the input");
  require(table.values.rank() == 2 && table.values.dim(0) >= 2, "a table without rows");
  require(table.columns.empty() || static_cast<int64_t>(table.columns.size()) == table.values.dim(1),
          "more names than columns");
}

[[maybe_unused]] void read_config(std::string_view bytes) {
  app::Config config = app::parse_config(bytes, "the input");
  require(app::parse_config(app::to_toml(config), "the input, written") == config, "another config after writing");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    VAPO_FUZZ(std::string_view(reinterpret_cast<const char*>(data), size));
  } catch (const InputError& e) {
    std::string_view message = e.what();
    require(message.find('\n') == message.npos, "a message of several lines");
    require(message.find("the input") != message.npos, "a message that does not name the file");
  }
  return 0;
}
