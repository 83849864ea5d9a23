// The `vapo` program: reads the command line, runs one subcommand, turns errors into one line and an exit code.

#include <fmt/format.h>

#include <csignal>
#include <new>
#include <sstream>

#include "apps/run/command.h"
#include "apps/run/exit_code.h"
#include "apps/run/ranks.h"
#include "apps/run/streams.h"
#include "apps/run/version.h"

namespace {

using namespace vapo;
using namespace vapo::app;

int report(const std::string& message, int code) {
  auto say = [](const std::string& text) {
    std::string line = text;
    for (char& c : line)
      if (static_cast<unsigned char>(c) < 32) c = ' ';
    write_error(fmt::format("vapo: {}\n", line));
  };
  if (ranks().size() > 1) end_ranks(message, code, say);
  say(message);
  return code;
}

constexpr const char* kExitCodes =
    "Exit codes:\n"
    "  0    done\n"
    "  2    the command line cannot be understood\n"
    "  3    bad input: a file, a config key or a value that cannot be used\n"
    "  4    diverged: a loss or a trajectory is no longer finite (the last good checkpoint stays)\n"
    "  5    the system refused to read or write\n"
    "  130  stopped by SIGINT, 143 by SIGTERM, 129 by SIGHUP (a closed terminal): the step was finished and a\n"
    "       checkpoint saved\n"
    "The result goes to standard output (as one JSON object with --json), everything else to standard error, "
    "where\n"
    "it is dropped if that is closed or full.";

// Of several ranks each would do all of a command that is not shared out.
void refuse_undivided(const CLI::App& cli) {
  std::string name = cli.get_subcommands().front()->get_name();
  for (const char* shared : {"train", "sample", "fid", "ood", "likelihood", "longrun"})
    if (name == shared) return;
  throw UsageError(
      fmt::format("{} started {} processes, and vapo {} is not shared out among them. Hint: call it once",
                  launch().by, launch().size, name));
}

// Parses the command line and does what it asks.
int run(CLI::App& cli, const Action& action, int argc, char** argv) {
  try {
    cli.parse(argc, argv);
  } catch (const CLI::Success& e) {  // --help, --version: the text is the result
    std::ostringstream text;
    int code = cli.exit(e, text, text);
    if (ranks().leads()) write_output(text.str());
    leave_ranks();
    return code;
  }
  if (ranks().size() > 1) {
    refuse_undivided(cli);
    if (cli.get_subcommands().front()->get_name() != "train")  // which compares what comes of its own
      expect_same("command line", fmt::format("{}", fmt::join(argv + 1, argv + argc, " ")));
  }
  int code = action();
  tell_missed_convolutions();
  leave_ranks();
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_streams();
  std::signal(SIGXFSZ, SIG_IGN);  // a file size limit is then an error of write(), told as one line

  CLI::App cli("vapo: energy-based generative models by variational potential flow", "vapo");
  std::string commit = app::commit();
  cli.set_version_flag("--version",
                       fmt::format("vapo {}{}", app::version(), commit.empty() ? "" : " (" + commit + ")"));
  cli.footer(kExitCodes);
  cli.require_subcommand(1);
  Action action;
#define VAPO_COMMAND(name) add_##name(cli, action);
#include "apps/run/commands.inc"
#undef VAPO_COMMAND
  for (CLI::App* command : cli.get_subcommands({})) command->footer(kExitCodes);

  try {
    join_ranks();
    return run(cli, action, argc, argv);
  } catch (const CLI::Error& e) {
    return report(fmt::format("{}. Hint: vapo --help", e.what()), kUsage);
  } catch (const Error& e) {
    return report(e.what(), exit_code_of(e));
  } catch (const std::bad_alloc&) {
    return report("out of memory", kIo);
  } catch (const std::exception& e) {
    return report(e.what(), kInput);
  }
}
