#pragma once
// Scalars and images for TensorBoard: event files, which are TFRecords of protobuf messages.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace vapo::data {

// Castagnoli's CRC-32, which TFRecords are framed with.
uint32_t crc32c(std::string_view bytes);

// Writes a new file FOLDER/events.out.tfevents.SECONDS.HOST.PID.COUNT; TensorBoard joins those of one folder, so a
// run that is resumed goes on in the next file. Events stay in memory until flush() gives them to the system: from
// then on a killed process loses none. Throws IoError naming the file or the folder.
class EventWriter {
 public:
  explicit EventWriter(const std::filesystem::path& folder);  // made where it is missing
  ~EventWriter();                                             // flushes, if it can
  EventWriter(const EventWriter&) = delete;
  EventWriter& operator=(const EventWriter&) = delete;

  void scalar(const std::string& tag, double value, int64_t step);  // kept as f32
  void image(const std::string& tag, std::string_view png, int64_t height, int64_t width, int64_t channels,
             int64_t step);
  void flush();
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  int file_ = -1;
  std::string pending_;  // framed, not yet written
};

}  // namespace vapo::data
