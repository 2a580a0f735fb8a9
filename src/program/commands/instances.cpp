#include "commands/instances.hpp"

#include "base/strings.hpp"
#include "commands/command.hpp"
#include "config/edit.hpp"
#include "config/param.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::commands {

namespace {
constexpr config::Param<bool> multi_instance_enable{
    .name = "multi_instance_enable", .initial = "no", .doc = "Whether this instance is started and stopped with the others."};
}  // namespace

bool Selection::matches(const Instance& instance) const
{
    if (group)
        return instance.group == *group;
    if (!name)
        return true;
    if (*name == "-")
        return instance.primary;
    return *name == instance.name || *name == instance.config_directory;
}

Instance instance_of(const config::Snapshot& snapshot, bool primary)
{
    Instance instance;
    instance.config_directory = snapshot.config_directory();
    instance.queue_directory = snapshot.text("queue_directory");
    instance.data_directory = snapshot.text("data_directory");
    instance.name = snapshot.text("multi_instance_name");
    instance.group = snapshot.text("multi_instance_group");
    instance.primary = primary;
    // One alone is managed by nobody else.
    instance.enabled = snapshot.get(multi_instance_enable) ||
                       (primary && snapshot.text("multi_instance_directories").empty() && snapshot.text("multi_instance_wrapper").empty());
    return instance;
}

std::vector<Instance> instances(const config::Snapshot& primary)
{
    std::vector<Instance> all{instance_of(primary, true)};
    const std::string list = primary.text("multi_instance_directories");
    for (const std::string_view directory : split(list, ", \t\r\n"))
        all.push_back(instance_of(load_config("postmulti", std::string(directory)), false));
    check_apart(all);
    return all;
}

void check_apart(const std::vector<Instance>& together, const std::string& changed)
{
    std::vector<Instance> all = together;
    if (const auto subject = std::ranges::find(all, changed, &Instance::config_directory); subject != all.end())
        std::rotate(subject, subject + 1, all.end());
    struct Part {
        const char* parameter;
        std::string Instance::* value;
    };
    static constexpr Part parts[] = {{"config_directory", &Instance::config_directory},
                                     {"queue_directory", &Instance::queue_directory},
                                     {"data_directory", &Instance::data_directory},
                                     {"multi_instance_name", &Instance::name}};
    for (std::size_t i = 0; i < all.size(); ++i)
        for (std::size_t j = 0; j <= i; ++j)
            for (const Part& mine : parts)
                for (const Part& other : parts) {
                    const bool names = mine.value == &Instance::name, other_names = other.value == &Instance::name;
                    if (names != other_names || (i == j && &mine <= &other) || (all[i].*mine.value).empty())
                        continue;
                    if (all[i].*mine.value == all[j].*other.value)
                        throw Failure(fmt::format("instance {}, {}={} conflicts with instance {}, {}={}", all[i].config_directory, mine.parameter,
                                                  all[i].*mine.value, all[j].config_directory, other.parameter, all[j].*other.value),
                                      1);
                }
}

void set_parameters(const std::string& config_directory, const std::vector<std::pair<std::string, std::string>>& settings)
{
    std::vector<config::Assignment> wanted;
    for (const auto& [name, value] : settings)
        wanted.push_back({name, value, 0});
    std::vector<std::string> warnings;
    const std::string path = config_directory + "/main.cf";
    const auto done = config::rewrite(
        path, [&](std::string_view old) -> Result<std::string> { return config::edit_main_cf(old, config::MainEdit::set, wanted, path, warnings); });
    if (!done)
        throw Failure(done.error().text(), 1);
}

}  // namespace posthorn::commands
