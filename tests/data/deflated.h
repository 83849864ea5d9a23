#pragma once
// Bytes packed by zlib, for what readers unpack.

#include <doctest/doctest.h>
#include <zlib.h>

#include <string>

namespace vapo::data {

// `window` as zlib counts it: MAX_WBITS of a zlib stream, 16 more of gzip.
inline std::string deflated(const std::string& bytes, int window) {
  z_stream z{};
  REQUIRE(deflateInit2(&z, 6, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(bytes.size() + 1000, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&z, Z_FINISH) == Z_STREAM_END);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}
inline std::string gzipped(const std::string& bytes) { return deflated(bytes, MAX_WBITS + 16); }

}  // namespace vapo::data
