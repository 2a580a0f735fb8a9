// posthorn: the services (`posthorn service ...`, started by posthorn-master) and the commands, by their own names through links or as
// `posthorn NAME ...`.
#include "admin/admin.hpp"
#include "base/strings.hpp"
#include "catalogue/catalogue.hpp"
#include "commands/command.hpp"
#include "config/paths.hpp"
#include "exim/convert.hpp"
#include "exim/queue_command.hpp"
#include "inject/inject.hpp"
#include "kumomta/convert_policy.hpp"
#include "migrate/migrate.hpp"
#include "moving/moving.hpp"
#include "process/service.hpp"
#include "services/programs.hpp"
#include "sim/peer_main.hpp"
#include "supervisor/confinement_check.hpp"
#include "tester/check.hpp"
#include "tester/finger.hpp"
#include "tools/postconf.hpp"
#include "tools/postmap.hpp"
#include "whatif/what_if.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <vector>

using namespace posthorn;

namespace {

std::optional<commands::Main> find(std::string_view name)
{
    if (name == "postconf")
        return tools::postconf;
    if (name == "postmap")
        return tools::postmap;
    if (name == "postalias")
        return tools::postalias;
    if (name == "posttls-finger")
        return tester::finger;
    for (const commands::Command& command : commands::commands())
        if (command.name == name)
            return command.main;
    return {};
}

int usage()
{
    std::string names;
    for (const commands::Command& command : commands::commands())
        names += fmt::format(" {}", command.name);
    fmt::print(
        stderr,
        "usage: posthorn COMMAND [arguments]\ncommands: start start-fg stop abort drain reload flush check status logrotate peer confinement-check migrate what-if hand-over take-over{} postconf postmap postalias posttls-finger\n",
        names);
    return 64;
}

/// posthorn confinement-check [-c DIR] [SERVICE...]
int confinement_check(std::span<char*> args)
{
    supervisor::MasterOptions options;
    options.rooms = catalogue::all_parameters();
    options.services_program = commands::executable_folder() + "posthorn";
    std::optional<std::string> directory;
    std::vector<std::string> wanted;
    for (std::size_t at = 1; at < args.size() && args[at]; ++at)
        if (std::string_view(args[at]) == "-c" && at + 1 < args.size() && args[at + 1])
            directory = args[++at];
        else
            wanted.emplace_back(args[at]);
    options.config_directory = config::choose_config_directory(directory);
    return supervisor::check_confinement(options, wanted);
}

}  // namespace

int main(int argc, char** argv)
{
    commands::open_standard_descriptors();
    std::vector<char*> words(argv, argv + argc);
    words.push_back(nullptr);                                      // getopt and exec look one further
    std::span<char*> args(words.data(), static_cast<std::size_t>(argc));
    if (args.empty())
        return 64;
    const std::string_view called = args.front();
    const std::string_view name = called.substr(called.rfind('/') + 1);
    if (const auto command = find(name))
        return (*command)(args);
    if (args.size() < 2)
        return usage();
    const std::string_view first = args[1];
    if (first == "service") {
        std::vector<process::Program> programs(services::programs().begin(), services::programs().end());
        programs.push_back({"admin", admin::serve_admin});
        programs.push_back({"inject", inject::serve_inject});
        return process::run_service(programs);
    }
    if (first == "peer")                                           // a well-behaved or broken server to send mail to
        return sim::peer_main(argc - 1, argv + 1);
    // With a host or an option of its own; else it is `postfix check`.
    if (first == "check" && args.size() > 2 && (args[2][0] != '-' || args[2][1] == '-'))
        return tester::check(args.subspan(1));
    if (first == "confinement-check")
        return confinement_check(args.subspan(1));
    if (first == "migrate")
        return exim::is_queue_asked_for(args)           ? exim::queue_main(args.subspan(1))
               : exim::is_asked_for(args.subspan(1))    ? exim::main(args.subspan(1))
               : kumomta::is_asked_for(args.subspan(1)) ? kumomta::main(args.subspan(1))
                                                        : migrate::main(args.subspan(1));
    if (first == "hand-over")
        return moving::hand_over(args.subspan(1));
    if (first == "take-over")
        return moving::take_over(args.subspan(1));
    if (first == "what-if")
        return whatif::main(args.subspan(1));
    if (first == "--version" || first == "-V") {
        // Scripts that ask for the compatible version read mail_version.
        fmt::print("Posthorn {}\n", POSTHORN_VERSION);
        return 0;
    }
    if (const auto command = find(first))
        return (*command)(args.subspan(1));
    static constexpr std::string_view of_postfix[] = {"start",  "start-fg", "stop",  "quick-stop", "abort",    "drain",
                                                      "reload", "flush",    "check", "status",     "logrotate"};
    if (first == "-c" || std::ranges::find(of_postfix, first) != std::end(of_postfix))
        return commands::postfix(args);
    return usage();
}
