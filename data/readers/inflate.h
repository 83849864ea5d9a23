#pragma once
// Packed bytes, unpacked piece by piece.

#include <memory>
#include <string>
#include <string_view>

struct z_stream_s;

namespace vapo::data::detail {

// A gzip file (of any number of members) or a zlib stream. `bytes` and `name`, which errors mention, must outlive it.
class Inflater {
 public:
  enum class Format { gzip, zlib };
  Inflater(std::string_view bytes, Format format, const std::string& name);
  // The next `most` bytes, or all that are left; the end has been reached, and its checksum was right, where it
  // gives fewer. Throws InputError where the bytes are damaged or cut off. Whatever `most` is, it takes no more
  // memory than the packed bytes can be worth.
  std::string read(size_t most);

 private:
  bool next_member();
  std::string_view bytes_;  // that are not yet unpacked
  size_t limit_;
  Format format_;
  const std::string& name_;
  std::unique_ptr<z_stream_s, void (*)(z_stream_s*)> z_;
  bool ended_ = false;
};

}  // namespace vapo::data::detail
