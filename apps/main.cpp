// The `vapo` program: reads the command line, runs one subcommand, turns errors into one line and an exit code.

#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <new>

#include "apps/run/command.h"
#include "apps/run/version.h"
#include "tensor/check.h"

namespace {

int report(std::string message, int code) {
  for (char& c : message)
    if (static_cast<unsigned char>(c) < 32) c = ' ';
  fmt::print(stderr, "vapo: {}\n", message);
  return code;
}

constexpr const char* kExitCodes =
    "Exit codes:\n"
    "  0    done\n"
    "  2    the command line cannot be understood\n"
    "  3    bad input: a file, a config key or a value that cannot be used\n"
    "  4    diverged: a loss or a trajectory is no longer finite (the last good checkpoint stays)\n"
    "  5    the system refused to read or write\n"
    "  130  stopped by SIGINT, 143 by SIGTERM: the step was finished and a checkpoint saved\n"
    "The result goes to standard output (as one JSON object with --json), everything else to standard error.";

}  // namespace

int main(int argc, char** argv) {
  using namespace vapo;
  std::signal(SIGXFSZ, SIG_IGN);  // a file size limit is then an error of write(), told as one line

  CLI::App cli("vapo: energy-based generative models by variational potential flow", "vapo");
  std::string commit = app::commit();
  cli.set_version_flag("--version",
                       fmt::format("vapo {}{}", app::version(), commit.empty() ? "" : " (" + commit + ")"));
  cli.footer(kExitCodes);
  cli.require_subcommand(1);
  app::Action action;
  app::add_train(cli, action);
  app::add_sample(cli, action);
  app::add_interpolate(cli, action);
  app::add_compose(cli, action);
  app::add_inpaint(cli, action);
  app::add_density(cli, action);
  app::add_likelihood(cli, action);
  app::add_classifier(cli, action);
  app::add_fid(cli, action);
  app::add_info(cli, action);
  app::add_report(cli, action);
  app::add_longrun(cli, action);
  app::add_ood(cli, action);
  app::add_bench(cli, action);
  for (CLI::App* command : cli.get_subcommands({})) command->footer(kExitCodes);

  try {
    cli.parse(argc, argv);
    int code = action();
    app::tell_plain_convolutions();
    return code;
  } catch (const CLI::Success& e) {  // --help, --version
    return cli.exit(e);
  } catch (const CLI::Error& e) {
    return report(fmt::format("{}. Hint: vapo --help", e.what()), 2);
  } catch (const Error& e) {
    return report(e.what(), e.exit_code());
  } catch (const std::bad_alloc&) {
    return report("out of memory", 5);
  } catch (const std::exception& e) {
    return report(e.what(), 3);
  }
}
