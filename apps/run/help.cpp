// vapo help: what a command does, and what every key of a config means.

#include <fmt/format.h>

#include "apps/run/command.h"
#include "apps/run/config.h"
#include "apps/run/exit_code.h"
#include "apps/run/streams.h"
#include "vapo/toml.h"

namespace vapo::app {
namespace {

std::string help_of_keys(const std::string& section) {
  Config defaults;
  Keys keys = keys_of(defaults);
  if (section.empty())
    return "Every key of a config, with its default. --set section.key=value overrides one; vapo help keys "
           "SECTION\n"
           "shows a section.\n\n" +
           help_of(keys);
  Keys chosen;
  for (const Key& key : keys)
    if (key.section() == section || key.name == section) chosen.push_back(key);
  if (chosen.empty())
    throw UsageError(fmt::format("help keys {}: no such section. Hint: the sections are {}", section,
                                 fmt::join(sections_of(keys), ", ")));
  return help_of(chosen);
}

int help(const CLI::App& app, const std::vector<std::string>& topic) {
  std::string text;
  if (topic.empty()) {
    text = app.get_formatter()->make_help(&app, app.get_name(), CLI::AppFormatMode::Normal);  // not of `help`
  } else if (topic[0] == "keys") {
    text = help_of_keys(topic.size() > 1 ? topic[1] : "");
  } else {
    const CLI::App* command = &app;
    std::string called;
    for (const std::string& name : topic) {
      called += (called.empty() ? "" : " ") + command->get_name();
      std::vector<const CLI::App*> found =
          command->get_subcommands([&](const CLI::App* each) { return each->get_name() == name; });
      if (found.empty())
        throw UsageError(fmt::format("help {}: no such command. Hint: vapo help", fmt::join(topic, " ")));
      command = found.front();
    }
    text = command->help(called);
  }
  write_output(text);
  return kDone;
}

}  // namespace

void add_help(CLI::App& app, Action& action) {
  auto topic = std::make_shared<std::vector<std::string>>();
  CLI::App* command = app.add_subcommand("help", "Explain a command, or the keys of a config");
  command->add_option("TOPIC", *topic, "A command; or keys, and the name of a section: vapo help keys train");
  command->callback([topic, &app, &action] { action = [topic, &app] { return help(app, *topic); }; });
}

}  // namespace vapo::app
