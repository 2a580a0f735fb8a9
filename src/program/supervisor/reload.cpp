// Another configuration for a running instance: judged as a whole, taken by all processes or by none.
#include "supervisor/supervisor.hpp"

#include "process/memory_file.hpp"
#include "supervisor/params.hpp"
#include "supervisor/start_record.hpp"
#include "supervisor/trial.hpp"

#include <algorithm>
#include <csignal>

namespace posthorn::supervisor {

using process::Control;
using process::StopService;

namespace {

bool is_inner(Role role) { return role == Role::qmgr || role == Role::resolve || role == Role::memory; }

std::vector<std::string> places_of(const std::map<std::string, std::vector<std::string>>& places, const std::string& line)
{
    const auto found = places.find(line);
    return found == places.end() ? std::vector<std::string>{} : found->second;
}

}  // namespace

awaitable<Result<process::ConfigurationTaken>> Supervisor::reconfigure(Child* child, Loaded& loaded)
{
    const auto line = std::ranges::find(loaded.table.lines, child->line, &ProcessLine::key);
    const auto channel = child->channel;
    process::NewConfiguration news;
    news.set_generation(generation_ + 1);
    news.set_heartbeat_seconds(heartbeat_of(loaded));
    put_folded(*news.mutable_own(), line->service, line->program, line->overrides);
    for (const FoldedInto& folded : line->folded)
        put_folded(*news.add_folded(), folded.service, folded.command, folded.overrides);
    CO_TRY(auto file, process::make_memory_file("configuration", loaded.snapshot.serialise()));
    std::vector<Fd> descriptors;
    descriptors.push_back(std::move(file));
    co_return co_await channel->call<process::ConfigurationTaken>(Control::new_configuration, std::move(news), std::move(descriptors));
}

awaitable<void> Supervisor::reload_unasked()
{
    if (reloading_)
        reload_again_ = true;
    else
        co_await reload();
}

awaitable<std::vector<std::string>> Supervisor::reload()
{
    std::vector<std::string> refusal;
    reloading_ = true;
    do {
        reload_again_ = false;
        refusal.clear();
        const auto refuse = [&](const std::vector<std::string>& reasons) {
            refusal = reasons;
            for (const std::string& reason : reasons)
                log_.error("{}", reason);
            log_.warning("reload refused: the running configuration stays");
        };
        auto fresh = load_configuration(options_.config_directory, options_.rooms);
        if (!fresh) {
            refuse(fresh.error());
            continue;
        }
        if (fresh->layout.queue_directory != loaded_.layout.queue_directory || fresh->layout.data_directory != loaded_.layout.data_directory) {
            refuse({"queue_directory and data_directory cannot change while the mail system runs: stop and start it"});
            continue;
        }
        const auto owner = identity(fresh->snapshot);
        if (!owner || owner->uid != owner_.uid || owner->gid != owner_.gid) {
            refuse({owner ? "mail_owner cannot change while the mail system runs: stop and start it" : owner.error().text()});
            continue;
        }
        auto log_target = LogTarget::open(fresh->snapshot, options_.foreground);
        if (!log_target) {
            refuse({log_target.error().text()});
            continue;
        }
        auto record_target = LogTarget::open_records(fresh->snapshot, options_.foreground, owner_.uid);
        if (!record_target) {
            refuse({record_target.error().text()});
            continue;
        }
        auto file = process::make_memory_file("configuration", fresh->snapshot.serialise());
        if (file) {
            // Nothing has been touched yet: what a service would refuse is refused here, while the running ones go on.
            auto wrong = co_await on_thread(trials_, [this, &fresh = *fresh, config = file->get(), wanted = wanted_] {
                return try_configuration(options_.services_program, fresh, owner_, config, wanted);
            });
            if (!wrong.empty()) {
                refuse(wrong);
                continue;
            }
        }
        std::map<std::string, std::vector<std::string>> places;
        auto bound = file ? bind_lines(*fresh, places) : Result<void>(file.error());
        std::vector<std::string> old_places, new_places;
        for (const auto& [key, list] : places_)
            old_places.insert(old_places.end(), list.begin(), list.end());
        for (const auto& [key, list] : places)
            new_places.insert(new_places.end(), list.begin(), list.end());
        if (!bound) {
            sockets_.keep_only(old_places);
            refuse({bound.error().text()});
            continue;
        }

        watch_files();                                             // what was written just before the reload belongs to it
        // The three that take it in place: all of them or none. A process may end meanwhile: it starts again with what is then in force.
        std::vector<pid_t> told, taken;
        std::optional<std::string> refused;
        for (const char* key : {"memory", "resolve", "qmgr"}) {
            std::vector<pid_t> asked;
            for (const auto& [pid, child] : children_)
                if (child.line == key && child.ready && !child.stopping)
                    asked.push_back(pid);
            for (const pid_t pid : asked) {
                const auto found = children_.find(pid);
                if (found == children_.end() || refused)
                    continue;
                told.push_back(pid);                               // also one that does not answer in time: it may take it all the same
                const auto answer = co_await reconfigure(&found->second, *fresh);
                if (answer && !answer->by_successor())
                    taken.push_back(pid);
                else if (!answer && children_.contains(pid))
                    refused = fmt::format("{}: {}", key, answer.error().text());
            }
        }
        if (refused) {
            for (const pid_t pid : told)
                if (const auto found = children_.find(pid); found != children_.end())
                    (void)co_await reconfigure(&found->second, loaded_);
            sockets_.keep_only(old_places);
            refuse({*refused});
            continue;
        }
        if (stopping_)
            break;

        // From here on it is in force.
        const std::vector<ProcessLine> before = std::move(loaded_.table.lines);
        loaded_ = *std::move(fresh);
        const auto places_before = std::exchange(places_, std::move(places));
        config_file_ = *std::move(file);
        log_target_ = *std::move(log_target);
        collector_.replace(log_target_.duplicate(), log_target_.form());
        record_target_ = *std::move(record_target);
        write_records();
        log_ = observe::Log(sink_, loaded_.snapshot.text("syslog_name") + "/master");
        ++generation_;
        in_force_since_ = clock_.wall();
        log_.info("reload -- version {}, configuration {}", loaded_.snapshot.text("mail_version"), options_.config_directory);
        for (const std::string& warning : loaded_.warnings)
            log_.warning("{}", warning);
        for (auto& [pid, child] : children_) {
            // Those that took it in place are of the new generation, unless their sockets or their root folder are others.
            if (!is_inner(role_of(child)) || std::ranges::find(taken, pid) == taken.end())
                continue;
            const auto old_line = std::ranges::find(before, child.line, &ProcessLine::key);
            const ProcessLine* line = find_line(child.line);
            if (line && old_line != before.end() && old_line->chroot == line->chroot &&
                places_of(places_before, line->key) == places_of(places_, line->key))
                child.generation = generation_;
        }
        for (const ProcessLine& line : loaded_.table.lines)
            roles_[line.key] = line.role;
        // Before those that ask them with new questions.
        co_await replace_inner();
        if (stopping_)
            break;
        std::erase_if(wanted_, [this](const std::string& key) { return find_line(key) == nullptr; });
        for (const ProcessLine& line : loaded_.table.lines)
            if (!is_inner(line.role) && serves(line))
                start_line(line);
        for (auto& [pid, child] : children_)
            if (!find_line(child.line) && !child.stopping)
                stop_child(child, StopService::DRAIN, std::chrono::hours(1));
        sockets_.keep_only(new_places);
        retire_older_than_two();
    } while (reload_again_ && !stopping_);
    reloading_ = false;
    co_return refusal;
}

/// Inner processes that did not take the new configuration: those that may not do what it needs, and those that were not there to be told.
/// What is asked of them meanwhile waits in their sockets, which stay open here, or is asked again (ipc::Client::call_again).
awaitable<void> Supervisor::replace_inner()
{
    constexpr std::chrono::seconds patience{15};                 // a process ends within 10 of SIGTERM
    const SteadyTime end = clock_.steady() + patience;
    for (auto& [pid, child] : children_)
        if (is_inner(role_of(child)) && child.generation != generation_ && !child.stopping) {
            log_.info("reload: process {} pid {} is replaced: it cannot take the new configuration in place", child.command, pid);
            child.generation = generation_;
            child.replaced = true;
            child.kill_at = end;
            ::kill(pid, SIGTERM);
        }
    while (!stopping_ && std::ranges::any_of(children_, [](const auto& one) { return one.second.replaced; }))
        co_await child_ended_.wait_for(std::chrono::milliseconds(500));
}

bool Supervisor::new_generation_serves() const
{
    return std::ranges::all_of(loaded_.table.lines, [&](const ProcessLine& line) {
        return !serves(line) || std::ranges::any_of(children_, [&](const auto& entry) {
            const Child& child = entry.second;
            return child.line == line.key && child.generation == generation_ && child.ready && !child.stopping && !child.replaced;
        });
    });
}

/// Those that have been told to end already: one whose successors do not come up still serves.
void Supervisor::retire_older_than_two()
{
    for (auto& [pid, child] : children_)
        if (child.generation + 2 < generation_ && child.stopping)
            stop_child(child, StopService::DRAIN, loaded_.snapshot.get(service_stop_time));
}

}  // namespace posthorn::supervisor
