#include "data/pictures/tensorboard.h"

#include <event.pb.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstring>

#include "tensor/check.h"

namespace vapo::data {
namespace {

constexpr std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t r = i;
    for (int bit = 0; bit < 8; ++bit) r = r >> 1 ^ (r & 1 ? 0x82f63b78u : 0);  // the polynomial, lowest bit first
    table[i] = r;
  }
  return table;
}

// A CRC of data that holds CRCs is weak: the format stores a rotated and shifted one.
uint32_t masked_crc(std::string_view bytes) {
  uint32_t c = crc32c(bytes);
  return (c >> 15 | c << 17) + 0xa282ead8u;
}

template <class T>
std::string little_endian(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof(T)};
}

// length, CRC of the length, message, CRC of the message
void append_record(std::string& out, std::string_view message) {
  std::string length = little_endian<uint64_t>(message.size());
  out += length + little_endian(masked_crc(length));
  out += message;
  out += little_endian(masked_crc(message));
}

proto::Event event_now(int64_t step) {
  using namespace std::chrono;
  proto::Event event;
  event.set_wall_time(duration<double>(system_clock::now().time_since_epoch()).count());
  event.set_step(step);
  return event;
}

std::string new_name() {
  static std::atomic<unsigned> count = 0;
  char host[HOST_NAME_MAX + 1] = "localhost";
  ::gethostname(host, sizeof host - 1);
  return fmt::format("events.out.tfevents.{}.{}.{}.{}", ::time(nullptr), host, ::getpid(), count++);
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  static constexpr std::array<uint32_t, 256> table = crc_table();
  uint32_t crc = ~0u;
  for (char c : bytes) crc = crc >> 8 ^ table[(crc ^ static_cast<unsigned char>(c)) & 255];
  return ~crc;
}

EventWriter::EventWriter(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw IoError(fmt::format("cannot make the folder '{}': {}", folder.string(), error.message()));
  do {
    path_ = folder / new_name();
    file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
  } while (file_ < 0 && (errno == EEXIST || errno == EINTR));
  if (file_ < 0) throw IoError(fmt::format("cannot create '{}': {}", path_.string(), std::strerror(errno)));
  proto::Event version = event_now(0);
  version.set_file_version("brain.Event:2");
  append_record(pending_, version.SerializeAsString());
  flush();
}

EventWriter::~EventWriter() {
  try {
    flush();
  } catch (const IoError&) {  // told at the flush before, or too late to matter
  }
  ::close(file_);
}

void EventWriter::scalar(const std::string& tag, double value, int64_t step) {
  proto::Event event = event_now(step);
  proto::Summary::Value& v = *event.mutable_summary()->add_value();
  v.set_tag(tag);
  v.set_simple_value(static_cast<float>(value));
  append_record(pending_, event.SerializeAsString());
}

void EventWriter::image(const std::string& tag, std::string_view png, int64_t height, int64_t width,
                        int64_t channels, int64_t step) {
  proto::Event event = event_now(step);
  proto::Summary::Value& v = *event.mutable_summary()->add_value();
  v.set_tag(tag);
  proto::Image& image = *v.mutable_image();
  image.set_height(static_cast<int32_t>(height));
  image.set_width(static_cast<int32_t>(width));
  image.set_colorspace(static_cast<int32_t>(channels));
  image.set_encoded_image_string(png.data(), png.size());
  append_record(pending_, event.SerializeAsString());
}

void EventWriter::flush() {
  while (!pending_.empty()) {
    ssize_t n = ::write(file_, pending_.data(), pending_.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0)
      throw IoError(fmt::format("cannot write '{}': {}", path_.string(), std::strerror(n == 0 ? ENOSPC : errno)));
    pending_.erase(0, static_cast<size_t>(n));
  }
}

}  // namespace vapo::data
