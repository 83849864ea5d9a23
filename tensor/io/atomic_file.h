#pragma once
// A file that appears under its name whole or not at all.

#include <filesystem>
#include <functional>
#include <span>
#include <string_view>

namespace vapo {

// Writes the pieces to a temporary file in the same folder, fsyncs, renames, fsyncs the folder. Throws IoError
// naming the path and the system's reason; the temporary file is removed on failure.
void write_file_atomically(const std::filesystem::path& path, std::span<const std::string_view> pieces);
// The whole file. Throws IoError naming the path.
std::string read_whole_file(const std::filesystem::path& path);

}  // namespace vapo
