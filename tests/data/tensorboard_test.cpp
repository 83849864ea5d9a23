// Event files, read back by a reader of TFRecords and protobuf's wire format that shares nothing with the writer.

#include "data/pictures/tensorboard.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <map>
#include <vector>

#include "tensor/check.h"
#include "tensor/io/atomic_file.h"

using namespace vapo;
using data::EventWriter;
namespace fs = std::filesystem;

namespace {

struct Folder {
  Folder() : path(fs::temp_directory_path() / fmt::format("vapo-events-test-{}", getpid())) {}
  ~Folder() { fs::remove_all(path); }
  fs::path path;
};

// Bit by bit, as the polynomial defines it.
uint32_t plain_crc32c(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int i = 0; i < 8; ++i) crc = (crc >> 1) ^ ((crc & 1) ? 0x82f63b78u : 0u);
  }
  return ~crc;
}

template <class T>
T take(std::string_view& bytes) {
  REQUIRE(bytes.size() >= sizeof(T));
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  bytes.remove_prefix(sizeof(T));
  return value;
}

uint64_t take_varint(std::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    auto byte = take<uint8_t>(bytes);
    value |= static_cast<uint64_t>(byte & 127) << shift;
    if (byte < 128) return value;
  }
}

// Field number → wire type and value: the bytes of a number, or of what is length-delimited. No field twice.
struct Field {
  int type;
  std::string bytes;
  uint64_t varint = 0;
};
using Message = std::map<int, Field>;
Message parse(std::string_view bytes) {
  Message m;
  while (!bytes.empty()) {
    uint64_t tag = take_varint(bytes);
    Field f{static_cast<int>(tag & 7), {}};
    size_t length = f.type == 1 ? 8 : f.type == 5 ? 4 : 0;
    if (f.type == 0) f.varint = take_varint(bytes);
    if (f.type == 2) length = take_varint(bytes);
    REQUIRE(length <= bytes.size());
    f.bytes = bytes.substr(0, length);
    bytes.remove_prefix(length);
    CHECK(m.emplace(static_cast<int>(tag >> 3), f).second);
  }
  return m;
}

template <class T>
T number(const Field& f) {
  std::string_view bytes = f.bytes;
  CHECK(bytes.size() == sizeof(T));
  return take<T>(bytes);
}

std::vector<Message> read_events(const fs::path& file) {
  std::string content = read_whole_file(file);
  std::string_view bytes = content;
  std::vector<Message> events;
  auto checked = [&](size_t length) {  // so many bytes, followed by their masked CRC
    REQUIRE(length <= bytes.size());
    std::string_view part = bytes.substr(0, length);
    bytes.remove_prefix(length);
    uint32_t crc = plain_crc32c(part);
    CHECK(take<uint32_t>(bytes) == static_cast<uint32_t>((crc >> 15 | crc << 17) + 0xa282ead8u));
    return part;
  };
  while (!bytes.empty()) {
    std::string_view length = checked(8);
    events.push_back(parse(checked(take<uint64_t>(length))));
  }
  return events;
}

uint64_t step_of(const Message& event) { return event.contains(2) ? event.at(2).varint : 0; }
Message value_of(const Message& event) { return parse(parse(event.at(5).bytes).at(1).bytes); }

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  return files;
}

}  // namespace

TEST_CASE("CRC-32C has the values of RFC 3720") {
  CHECK(data::crc32c("") == 0);
  CHECK(data::crc32c("123456789") == 0xe3069283u);
  CHECK(data::crc32c(std::string(32, '\0')) == 0x8a9136aau);
  CHECK(data::crc32c(std::string(32, '\xff')) == 0x62a8ab43u);
}

TEST_CASE("scalars and images come back with tag, step and value") {
  Folder folder;
  using namespace std::chrono;
  double begin = duration<double>(system_clock::now().time_since_epoch()).count();
  std::string png = std::string("\x89PNG\r\n\x1a\n\0pixels", 16) + std::string(300, 'x');
  fs::path file;
  {
    EventWriter writer(folder.path / "run");
    file = writer.path();
    writer.scalar("loss/total", 0.1, 7);
    writer.scalar("zero", 0, 0);
    writer.scalar("far", -1e-30, 123456789012345);
    writer.scalar("bad", NAN, 1);
    writer.image("samples", png, 34, 134, 3, 300);
    writer.image("grey", "", 1, 2, 1, 0);
  }
  CHECK(file.parent_path() == folder.path / "run");
  CHECK(file.filename().string().starts_with("events.out.tfevents.1"));
  std::vector<Message> events = read_events(file);
  REQUIRE(events.size() == 7);
  CHECK(events[0].at(3).bytes == "brain.Event:2");
  CHECK(step_of(events[0]) == 0);
  for (const Message& e : events) {
    CHECK(e.at(1).type == 1);
    CHECK(number<double>(e.at(1)) >= begin);
    CHECK(number<double>(e.at(1)) < begin + 600);
  }
  auto scalar = [&](size_t i) {
    Message v = value_of(events[i]);
    CHECK(v.size() == 2);
    CHECK(v.at(2).type == 5);
    return number<float>(v.at(2));
  };
  CHECK(value_of(events[1]).at(1).bytes == "loss/total");
  CHECK(step_of(events[1]) == 7);
  CHECK(scalar(1) == 0.1f);
  CHECK(scalar(2) == 0);
  CHECK(step_of(events[3]) == 123456789012345);
  CHECK(scalar(3) == -1e-30f);
  CHECK(std::isnan(scalar(4)));

  Message samples = value_of(events[5]), image = parse(samples.at(4).bytes);
  CHECK(samples.at(1).bytes == "samples");
  CHECK(step_of(events[5]) == 300);
  CHECK(image.at(1).varint == 34);
  CHECK(image.at(2).varint == 134);
  CHECK(image.at(3).varint == 3);
  CHECK(image.at(4).bytes == png);
  CHECK(parse(value_of(events[6]).at(4).bytes).at(3).varint == 1);
}

TEST_CASE("every writer has a file of its own, begun before anything is logged") {
  Folder folder;
  EventWriter first(folder.path), second(folder.path);
  second.scalar("a", 1, 1);
  second.flush();
  CHECK(files_in(folder.path).size() == 2);
  CHECK(read_events(first.path()).size() == 1);
  CHECK(read_events(second.path()).size() == 2);
}

TEST_CASE("what was flushed survives a kill") {
  Folder folder;
  pid_t child = fork();
  if (child == 0) {
    EventWriter writer(folder.path);
    for (int64_t step = 0; step < 100; ++step) writer.scalar("loss", 1, step);
    writer.flush();
    writer.scalar("loss", 1, 100);
    raise(SIGKILL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFSIGNALED(status));
  std::vector<fs::path> files = files_in(folder.path);
  REQUIRE(files.size() == 1);
  CHECK(read_events(files[0]).size() == 101);
}

TEST_CASE("a place that cannot be written is named; a flush goes on where it failed") {
  Folder folder;
  fs::create_directories(folder.path);
  fs::path blocked = folder.path / "file";
  std::string_view text[] = {"in the way"};
  write_file_atomically(blocked, text);
  CHECK_THROWS_WITH_AS(EventWriter{blocked}, doctest::Contains("/file"), IoError);
  CHECK_THROWS_WITH_AS(EventWriter{blocked / "run"}, doctest::Contains("/file/run"), IoError);
  CHECK_THROWS_WITH_AS(EventWriter{"/proc"}, doctest::Contains("/proc/events.out"), IoError);

  EventWriter writer(folder.path / "run");
  for (int64_t step = 0; step < 50; ++step) writer.scalar("loss", 1, step);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small{fs::file_size(writer.path()) + 100, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  CHECK_THROWS_WITH_AS(writer.flush(), doctest::Contains("File too large"), IoError);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  writer.flush();
  CHECK(read_events(writer.path()).size() == 51);
}
