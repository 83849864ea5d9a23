#pragma once
// Options as TOML, by their keys.

#include <string>
#include <string_view>

#include "vapo/keys.h"
#include "vapo/recipe.h"

namespace vapo {

enum class UnknownKeys { refuse, ignore };

// Sets the values of the keys that the text has. Throws InputError "NAME:line: key: what is wrong" for text that is
// no TOML, a wrong type, a value out of range, a name that is none of a choice's (listing them), and an unknown key
// unless they are ignored. `name` stands for the file in messages.
void read_toml(std::string_view text, const std::string& name, const Keys& keys,
               UnknownKeys unknown = UnknownKeys::refuse);

// One key, its value as TOML writes it; text that is no TOML value is a string. `source` begins the messages.
void set_value(const Keys& keys, const std::string& key, const std::string& text, const std::string& source);

std::string toml_value(const Key& key);  // the shortest text that reads back the same
std::string to_toml(const Keys& keys);   // sections in the order in which they first come, each once

// As "name = value" lines under [section], each with what the value may be and its help. For people.
std::string help_of(const Keys& keys);

// Of a whole recipe. A config of the vapo program has more keys: `ignore` reads a recipe from it.
Recipe parse_recipe(std::string_view text, const std::string& name, UnknownKeys unknown = UnknownKeys::refuse);
std::string to_toml(const Recipe& recipe);  // without the untouched tables of networks that it does not use

// Without the keys of the networks that are not used and as they are by default.
Keys without_unused_networks(Keys keys, const PotentialOptions& used);

}  // namespace vapo
