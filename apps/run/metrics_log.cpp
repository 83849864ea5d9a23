#include "apps/run/metrics_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tensor/check.h"
#include "tensor/io/atomic_file.h"

namespace vapo::app {
namespace {

// Of a line that says one; of another, after all.
int64_t step_of(const Json& line) {
  auto it = line.find("step");
  bool known = it != line.end() && it->is_number_integer() &&
               (!it->is_number_unsigned() || it->get<uint64_t>() <= INT64_MAX);
  return known ? it->get<int64_t>() : INT64_MAX;
}

}  // namespace

MetricsLog::MetricsLog(const std::filesystem::path& file, int64_t step, const std::string& without) : file_(file) {
  std::error_code error;
  std::string kept;
  if (std::filesystem::exists(file, error)) {
    std::string text = read_whole_file(file);
    for (size_t begin = 0; begin < text.size();) {
      size_t end = text.find('\n', begin);
      if (end == std::string::npos) break;  // a line cut short by a kill
      std::string line = text.substr(begin, end - begin);
      begin = end + 1;
      Json parsed = Json::parse(line, nullptr, false);
      int64_t of = parsed.is_object() ? step_of(parsed) : INT64_MAX;
      if (of == step && parsed.contains(without)) continue;
      if (of <= step) {
        kept += line + "\n";
        if (auto machine = parsed.find("machine"); machine != parsed.end() && machine->is_string())
          machine_ = machine->get<std::string>();
      }
      if (of == step) last_lines_.push_back(std::move(parsed));
    }
  }
  std::string_view pieces[] = {kept};
  write_file_atomically(file, pieces);
  descriptor_ = ::open(file.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (descriptor_ < 0) throw IoError(fmt::format("{}: {}", file.string(), std::strerror(errno)));
}

MetricsLog::~MetricsLog() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool MetricsLog::kept(int64_t step, const std::string& key) const {
  for (const Json& line : last_lines_)
    if (step_of(line) == step && line.contains(key)) return true;
  return false;
}

void MetricsLog::append(const Json& line) {
  std::string text = line.dump() + "\n";
  off_t before = ::lseek(descriptor_, 0, SEEK_END);
  ssize_t written = ::write(descriptor_, text.data(), text.size());
  if (written == static_cast<ssize_t>(text.size())) return;
  int reason = written < 0 ? errno : ENOSPC;
  if (written > 0 && ::ftruncate(descriptor_, before) != 0) reason = errno;
  throw IoError(fmt::format("{}: {}", file_.string(), std::strerror(reason)));
}

}  // namespace vapo::app
