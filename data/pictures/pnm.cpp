// PBM, PGM and PPM, as text and as bytes, by netpbm.

#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "data/pictures/codecs.h"

#include <netpbm/pam.h>  // last, for its macros

namespace vapo::data {
namespace {

// The library has one place for a jump, and one for the message: one file at a time.
std::mutex one_at_a_time;
char first_error[128];

void keep_first(const char* message) {
  if (!*first_error) std::snprintf(first_error, sizeof first_error, "%s", message);
}
void no_message(const char*) {}

}  // namespace

Tensor detail::decode_pnm(std::span<const std::byte> bytes, const std::string& name) {
  std::lock_guard guard(one_at_a_time);
  std::string text;  // may end behind the last digit, where the library looks for one more byte
  if (bytes[1] <= std::byte{'3'}) {
    text.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size()).push_back('\n');
    bytes = std::as_bytes(std::span(text));
  }
  std::unique_ptr<FILE, int (*)(FILE*)> file(::fmemopen(const_cast<std::byte*>(bytes.data()), bytes.size(), "rb"),
                                             std::fclose);
  VAPO_CHECK(file, "[decode_image] '{}': no stream of {} bytes", name, bytes.size());
  std::jmp_buf jump = {};
  first_error[0] = '\0';
  pm_setusererrormsgfn(keep_first);
  pm_setusermessagefn(no_message);
  pm_setjmpbuf(&jump);
  auto check = [&](bool good) {
    pm_setjmpbuf(good ? &jump : nullptr);
    if (!good) refuse_image(name, "PNM", first_error);
  };
  struct pam image = {};
  check(returns(jump, [&] { pnm_readpaminit(file.get(), &image, sizeof image); }));
  check_size(image.width, image.height, name, "PNM", bytes.size(), 8);

  int64_t width = image.width, channels = image.depth;
  Tensor out = Tensor::empty({image.height, width, channels}, DType::u8);
  std::vector<sample> samples(static_cast<size_t>(width * channels));
  std::vector<tuple> row;
  for (int64_t x = 0; x < width; ++x) row.push_back(samples.data() + x * channels);
  uint8_t* to = out.mutable_data<uint8_t>();
  for (int64_t y = 0; y < image.height; ++y) {
    check(returns(jump, [&] { pnm_readpamrow(&image, row.data()); }));
    for (sample v : samples)
      *to++ = static_cast<uint8_t>((std::min<sample>(v, image.maxval) * 255 + image.maxval / 2) / image.maxval);
  }
  pm_setjmpbuf(nullptr);
  return out;
}

}  // namespace vapo::data
