// json-value KEY… < FILE: checks that standard input is one JSON object and prints the values of the keys, a line
// each. A missing key or anything else than one object: exit 1.

#include <fmt/format.h>

#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

int main(int argc, char** argv) {
  std::string text{std::istreambuf_iterator<char>(std::cin), {}};
  nlohmann::json object = nlohmann::json::parse(text, nullptr, false);
  if (!object.is_object()) {
    fmt::print(stderr, "not one JSON object: {}\n", text.substr(0, 200));
    return 1;
  }
  for (int i = 1; i < argc; ++i) {
    if (!object.contains(argv[i])) {
      fmt::print(stderr, "no key {}\n", argv[i]);
      return 1;
    }
    const nlohmann::json& value = object[argv[i]];
    fmt::print("{}\n", value.is_string() ? value.get<std::string>() : value.dump());
  }
}
