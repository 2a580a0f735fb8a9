// postmulti(1): several instances on one host: listed, told the same, made, changed, taken away.
#include "commands/command.hpp"
#include "commands/instances.hpp"
#include "commands/letters.hpp"
#include "commands/new_instance.hpp"
#include "commands/run_program.hpp"
#include "commands/script.hpp"

#include "base/json.hpp"
#include "base/strings.hpp"
#include "config/paths.hpp"

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace posthorn::commands {

namespace {

constexpr const char* postmulti_usage =
    "usage: postmulti -l [-ajv] [-R] [-g group] [-i name] | postmulti -p [-av] [-g group] [-i name] command... | "
    "postmulti -x [-aRv] [-g group] [-i name] command... | "
    "postmulti -e action [-av] [-g group] [-i name] [-G group] [-I name] [name=value...]; before all: [-c config_dir of the primary]";

struct PostmultiWish {
    std::optional<std::string> primary, new_name, new_group;
    std::string action;                    // of -e
    char mode = 0;
    bool all = false, reverse = false, json = false;
    Selection which;
    std::vector<std::string> words;
};

bool is_action(std::string_view word)
{
    static constexpr std::string_view known[] = {"create", "destroy", "import", "deport", "enable", "disable", "assign", "init"};
    return std::ranges::find(known, word) != std::end(known);
}

PostmultiWish parse(std::span<char*> args)
{
    PostmultiWish wish;
    int modes = 0;
    for (int option; (option = ::getopt(static_cast<int>(args.size()), args.data(), postmulti_letters)) > 0;) {
        switch (option) {
        case 'a': wish.all = true; break;
        case 'c': wish.primary = ::optarg; break;
        case 'g': wish.which.group = ::optarg; break;
        case 'i': wish.which.name = ::optarg; break;
        case 'G': wish.new_group = ::optarg; break;
        case 'I': wish.new_name = ::optarg; break;
        case 'j': wish.json = true; break;
        case 'R': wish.reverse = true; break;
        case 'v': ::setenv("MAIL_VERBOSE", "", 1); break;
        case 'e': wish.action = ::optarg; [[fallthrough]];
        case 'l':
        case 'p':
        case 'x':
            modes += wish.mode != option;
            wish.mode = static_cast<char>(option);
            break;
        default: throw Failure(postmulti_usage, 1);
        }
    }
    for (char* word : args.subspan(static_cast<std::size_t>(::optind)))
        wish.words.emplace_back(word);
    if (wish.mode == 'e' && !is_action(wish.action))
        throw Failure(
            fmt::format("Invalid '-e' edit action '{}'. Specify 'create', 'destroy', 'import', 'deport', 'enable', 'disable', 'assign' or 'init'",
                        printable(wish.action)),
            1);
    if (modes != 1)
        throw Failure("Specify exactly one of '-e', '-l', '-p', '-x'", 1);
    if (int{wish.all} + int{wish.which.group.has_value()} + int{wish.which.name.has_value()} > 1)
        throw Failure("Specify no more than one of '-a', '-g', '-i'", 1);
    if (wish.reverse && (wish.mode == 'p' || wish.mode == 'e'))
        throw Failure("The '-p' and '-e' options preclude the use of '-R'", 1);
    if (wish.json && wish.mode != 'l')
        throw Failure("The '-e', '-p' and '-x' options preclude the use of '-j'", 1);
    if (wish.mode == 'l' && !wish.words.empty())
        throw Failure("Command not allowed with '-l'", 1);
    if ((wish.mode == 'p' || wish.mode == 'x') && wish.words.empty())
        throw Failure("Command required with '-p' or '-x' option", 1);
    const bool names = wish.action == "create" || wish.action == "import" || wish.action == "assign";
    if ((wish.new_name || wish.new_group) && !names)
        throw Failure("Cannot assign instance name or group without '-e assign'", 1);
    return wish;
}

bool lists(const std::string& list, const std::string& word)
{
    const auto words = split(list, ", \t\r\n");
    return std::ranges::find(words, std::string_view(word)) != words.end();
}

class Manager {
public:
    Manager(const PostmultiWish& wish, const config::Snapshot& primary) : wish_(wish), primary_(primary), all_(instances(primary)) {}

    int list()
    {
        for (const Instance* one : chosen()) {
            const std::string name = one->name.empty() ? "-" : one->name, group = one->group.empty() ? "-" : one->group;
            const char* enabled = one->enabled ? "y" : "n";
            if (wish_.json)
                fmt::print("{}\n",
                           json_object({{"name", name}, {"group", group}, {"enabled", enabled}, {"config_directory", one->config_directory}}));
            else
                fmt::print("{:<15} {:<15} {:<9} {}\n", name, group, enabled, one->config_directory);
        }
        return 0;
    }

    int execute()
    {
        int status = 0;
        for (const Instance* one : chosen())
            if (run_in(*one, wish_.words) != 0)
                status = 1;
        return status;
    }

    /// One of postfix(1)'s commands for each of them.
    int postfix()
    {
        const auto is = [&](const char* parameter) { return lists(primary_.text(parameter), wish_.words.front()); };
        const bool starts = is("postmulti_start_commands"), stops = is("postmulti_stop_commands"), controls = is("postmulti_control_commands");
        auto which = chosen();
        if (stops)
            std::ranges::reverse(which);
        int status = 0;
        for (const Instance* one : which) {
            std::vector<std::string> words{executable_folder() + "postfix"};
            if (!one->enabled && (stops || controls))
                continue;
            if (!one->enabled && starts)
                words.emplace_back("check");
            else
                words.insert(words.end(), wish_.words.begin(), wish_.words.end());
            if (run_in(*one, std::move(words)) != 0)
                status = 1;
        }
        return status;
    }

    int edit()
    {
        const std::string& action = wish_.action;
        if (action == "init") {
            refuse_words();
            const std::string whose = wish_.primary ? fmt::format(" -c {}", primary_.config_directory()) : "";
            set_parameters(primary_.config_directory(), {{"multi_instance_enable", "yes"},
                                                         {"multi_instance_wrapper", fmt::format("${{command_directory}}/postmulti{} -p --", whose)}});
            return 0;
        }
        if (action == "create" || action == "import")
            return add(action == "create");
        refuse_words();
        if (!wish_.which.name)
            throw Failure("Select an instance via '-i name'", 1);
        const auto found = std::ranges::find_if(all_, [&](const Instance& one) { return wish_.which.matches(one); });
        if (found == all_.end())
            throw Failure(fmt::format("No instance named {}", printable(*wish_.which.name)), 1);
        if (action == "enable" || action == "disable") {
            if (action == "enable")
                if (const int refused = managed())
                    return refused;
            set_parameters(found->config_directory, {{"multi_instance_enable", action == "enable" ? "yes" : "no"}});
            return 0;
        }
        if (action == "assign")
            return assign(*found);
        if (found->primary)
            throw Failure("Cannot remove the primary instance", 1);
        if (action == "destroy" && found->enabled)
            throw Failure("Cannot remove enabled instances", 1);
        if (const int refused = managed())
            return refused;
        if (action == "destroy")
            remove_instance(*found);
        std::vector<std::string> directories = others();
        std::erase(directories, found->config_directory);
        remember(directories);
        return 0;
    }

private:
    std::vector<const Instance*> chosen() const
    {
        std::vector<const Instance*> which;
        for (const Instance& one : all_)
            if (wish_.which.matches(one))
                which.push_back(&one);
        if (wish_.reverse)
            std::ranges::reverse(which);
        return which;
    }

    int run_in(const Instance& one, std::vector<std::string> words) const
    {
        const config::Snapshot own = one.primary ? primary_ : load_config("postmulti", one.config_directory);
        std::vector<std::pair<std::string, std::string>> environment{
            {"MAIL_LOGTAG", own.text("syslog_name")},   {"MAIL_CONFIG", one.config_directory},
            {"config_directory", one.config_directory}, {"queue_directory", one.queue_directory},
            {"data_directory", one.data_directory},     {"multi_instance_name", one.name},
            {"multi_instance_group", one.group},        {"multi_instance_enable", one.enabled ? "yes" : "no"}};
        for (const char* shared : {"daemon_directory", "command_directory"})
            environment.emplace_back(shared, primary_.text(shared));
        const std::string program = words.front();
        const RunResult result = run_program(program, std::move(words), environment);
        if (result.not_started != 0)
            throw Failure(fmt::format("execute {}: {}", printable(program), errno_text(result.not_started)), 1);
        return result.status;
    }

    void refuse_words() const
    {
        if (!wish_.words.empty())
            throw Failure(fmt::format("Parameter overrides not valid with '-e {}'", wish_.action), 1);
    }

    /// 0, or the status of a refusal: nothing is managed before `-e init`.
    int managed() const
    {
        Script script(primary_, "postmulti-script");
        if (primary_.text("multi_instance_wrapper").empty())
            return script.fatal("multi_instance_wrapper is empty, run 'postmulti -e init' first.");
        if (!all_.front().enabled)
            return script.fatal("multi_instance_enable!=yes, run 'postmulti -e init' first.");
        return 0;
    }

    std::vector<std::string> others() const
    {
        std::vector<std::string> directories;
        for (const Instance& one : all_)
            if (!one.primary)
                directories.push_back(one.config_directory);
        return directories;
    }

    void remember(const std::vector<std::string>& directories) const
    {
        set_parameters(primary_.config_directory(), {{"multi_instance_directories", fmt::format("{}", fmt::join(directories, " "))}});
    }

    /// What -I and -G ask for, refused where two would have one name.
    std::vector<std::pair<std::string, std::string>> wanted_names(Instance& one) const
    {
        std::vector<std::pair<std::string, std::string>> settings;
        if (wish_.new_name) {
            if (*wish_.new_name != "-" && !wish_.new_name->starts_with("postfix-"))
                throw Failure("New instance name must start with 'postfix-'", 1);
            one.name = *wish_.new_name == "-" ? "" : *wish_.new_name;
            settings.emplace_back("multi_instance_name", one.name);
        }
        if (wish_.new_group) {
            one.group = *wish_.new_group == "-" ? "" : *wish_.new_group;
            settings.emplace_back("multi_instance_group", one.group);
        }
        for (const auto& [name, value] : settings)
            if (value.find_first_of(" \t\r\n,/$") != value.npos)
                throw Failure(fmt::format("{}: \"{}\" is no name", name, printable(value)), 1);
        return settings;
    }

    int assign(Instance& one)
    {
        const auto settings = wanted_names(one);
        check_apart(all_, one.config_directory);
        if (!one.primary || !one.name.empty())
            if (const int refused = managed())
                return refused;
        if (!settings.empty())
            set_parameters(one.config_directory, settings);
        return 0;
    }

    int add(bool create)
    {
        Instance fresh;
        const auto names = wanted_names(fresh);
        for (const std::string& word : wish_.words) {
            const auto equals = word.find('=');
            const std::string name = word.substr(0, equals), value = equals == word.npos ? "" : word.substr(equals + 1);
            std::string Instance::* where = name == "config_directory"            ? &Instance::config_directory
                                            : create && name == "queue_directory" ? &Instance::queue_directory
                                            : create && name == "data_directory"  ? &Instance::data_directory
                                                                                  : nullptr;
            if (!where || equals == word.npos)
                throw Failure(fmt::format("Parameter '{}' not valid with action {}", printable(name), wish_.action), 1);
            if (!value.starts_with('/') || value.find_first_of(" \t\r\n$,{}#\"'") != value.npos)
                throw Failure(fmt::format("{}={}: an absolute path without blanks, commas, quotes or $ is needed", name, printable(value, true)), 1);
            fresh.*where = value;
        }
        // What is not said is where the primary has its own, under the new name.
        const auto derive = [&](std::string Instance::* part, const char* parameter) {
            if (!(fresh.*part).empty())
                return;
            if (fresh.name.empty())
                throw Failure(fmt::format("Missing {} parameter value", parameter), 1);
            const std::string& model = all_.front().*part;
            fresh.*part = model.substr(0, model.rfind('/') + 1) + fresh.name;
        };
        derive(&Instance::config_directory, "config_directory");
        for (const Instance& one : all_)
            for (const auto& [part, parameter] : {std::pair{&Instance::config_directory, "config_directory"},
                                                  {&Instance::queue_directory, "queue_directory"},
                                                  {&Instance::data_directory, "data_directory"}})
                if (one.*part == fresh.config_directory)
                    throw Failure(fmt::format("new config_directory={} is already in use by instance {}, {}={}", fresh.config_directory,
                                              one.config_directory, parameter, one.*part),
                                  1);
        const bool there = has_configuration(fresh.config_directory);
        if (!create || there) {
            Instance found = instance_of(load_config("postmulti", fresh.config_directory), false);
            fresh.queue_directory = found.queue_directory;
            fresh.data_directory = found.data_directory;
            if (!wish_.new_name)
                fresh.name = found.name;
            if (!wish_.new_group)
                fresh.group = found.group;
        } else {
            derive(&Instance::queue_directory, "queue_directory");
            derive(&Instance::data_directory, "data_directory");
        }
        std::vector<Instance> together = all_;
        const auto place = wish_.all ? together.begin() + 1 : std::find_if(together.begin() + 1, together.end(), [&](const Instance& one) {
            return (wish_.which.name || wish_.which.group) && wish_.which.matches(one);
        });
        together.insert(place, fresh);
        check_apart(together, fresh.config_directory);
        if (const int refused = managed())
            return refused;
        if (create && !there)
            make_instance(primary_, fresh);
        else if (!names.empty())
            set_parameters(fresh.config_directory, names);
        all_ = std::move(together);
        remember(others());
        return 0;
    }

    const PostmultiWish& wish_;
    const config::Snapshot& primary_;
    std::vector<Instance> all_;
};

int run_postmulti(std::span<char*> args)
{
    const PostmultiWish wish = parse(args);
    // MAIL_CONFIG is what this command sets for others; whoever means another primary says -c.
    if (const std::string chosen = config::choose_config_directory({}); !wish.primary && chosen != config::built_in_config_directory()) {
        load_config("postmulti", {});
        throw Failure(fmt::format("Non-default configuration directory: MAIL_CONFIG={}", printable(chosen)), 1);
    }
    const config::Snapshot primary = load_config("postmulti", wish.primary);
    Manager manager(wish, primary);
    switch (wish.mode) {
    case 'l': return manager.list();
    case 'x': return manager.execute();
    case 'p': return manager.postfix();
    default: return manager.edit();
    }
}

}  // namespace

int postmulti(std::span<char*> args) { return guarded("postmulti", run_postmulti, args); }

}  // namespace posthorn::commands
