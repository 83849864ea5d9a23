#include "data/readers/inflate.h"

#include <zlib.h>

#include <algorithm>
#include <new>

#include "data/readers/archives.h"

namespace vapo::data::detail {
namespace {

constexpr size_t largest_ratio = 1032;  // of unpacked to packed bytes, in zlib's format
constexpr std::string_view gzip_magic = "\x1f\x8b";

uInt at_once(size_t n) { return static_cast<uInt>(std::min<size_t>(n, 1 << 30)); }

}  // namespace

Inflater::Inflater(std::string_view bytes, Format format, const std::string& name)
    : bytes_(bytes),
      limit_(largest_ratio * bytes.size()),
      format_(format),
      name_(name),
      z_(new z_stream{}, [](z_stream* z) {
        inflateEnd(z);
        delete z;
      }) {
  if (inflateInit2(z_.get(), format == Format::gzip ? MAX_WBITS + 16 : MAX_WBITS) != Z_OK) throw std::bad_alloc();
}

bool Inflater::next_member() {
  if (format_ == Format::zlib || bytes_.empty()) return false;
  if (!bytes_.starts_with(gzip_magic)) refuse("'{}': {} bytes follow its gzipped contents", name_, bytes_.size());
  return inflateReset(z_.get()) == Z_OK;
}

std::string Inflater::read(size_t most) {
  std::string out(std::min(most, limit_), '\0');
  size_t done = 0;
  while (done < out.size() && !ended_) {
    z_->next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes_.data()));
    z_->avail_in = at_once(bytes_.size());
    z_->next_out = reinterpret_cast<Bytef*>(out.data() + done);
    z_->avail_out = at_once(out.size() - done);
    uInt in = z_->avail_in, room = z_->avail_out;
    int result = inflate(z_.get(), Z_NO_FLUSH);
    bytes_.remove_prefix(in - z_->avail_in);
    done += room - z_->avail_out;
    if (result == Z_MEM_ERROR) throw std::bad_alloc();
    if (result == Z_STREAM_END)
      ended_ = !next_member();
    else if (result != Z_OK && result != Z_BUF_ERROR)
      refuse("'{}': its packed contents are damaged. Hint: fetch it again", name_);
    else if (bytes_.empty() && z_->avail_out > 0)
      refuse("'{}': its packed contents are cut off. Hint: fetch it again", name_);
  }
  out.resize(done);
  limit_ -= done;
  return out;
}

}  // namespace vapo::data::detail
