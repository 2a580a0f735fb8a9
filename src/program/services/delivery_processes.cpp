#include "services/delivery_processes.hpp"

#include "services/programs.hpp"

#include <fmt/format.h>

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace posthorn::services {

namespace {

std::string path() { return std::string(spool_folder) + "/deliverers"; }

Fd process_descriptor(std::uint32_t process) { return Fd(static_cast<int>(::syscall(SYS_pidfd_open, process, 0))); }

}  // namespace

std::vector<std::uint32_t> DeliveryProcesses::living()
{
    std::vector<std::uint32_t> found;
    std::ifstream file{path()};
    for (std::uint32_t pid = 0; file >> pid;) {
        std::ifstream command(fmt::format("/proc/{}/cmdline", pid));
        std::string words{std::istreambuf_iterator<char>(command), {}};
        if (words.find(std::string_view("service\0", 8)) != words.npos)
            found.push_back(pid);
    }
    return found;
}

DeliveryProcesses::DeliveryProcesses(Executor executor, Ended ended, std::chrono::milliseconds patience)
    : on_end_(std::move(ended)), patience_(patience), tasks_(std::move(executor))
{
}

void DeliveryProcesses::expect(const std::vector<std::uint32_t>& before)
{
    for (const std::uint32_t process : before) {
        living_[process] = process_descriptor(process);
        tasks_.spawn(see_off(process));
    }
}

void DeliveryProcesses::joined(const ipc::Channel* connection, std::uint32_t process, bool delivers)
{
    connections_[connection] = process;
    if (!delivers)
        return;
    const bool known = living_.contains(process);
    living_[process] = process_descriptor(process);
    if (!known)
        write();
}

void DeliveryProcesses::left(const ipc::Channel* connection)
{
    const auto found = connections_.find(connection);
    if (found == connections_.end())
        return;
    const std::uint32_t process = found->second;
    connections_.erase(found);
    if (!connected(process))
        tasks_.spawn(see_off(process));
}

bool DeliveryProcesses::connected(std::uint32_t process) const
{
    return std::ranges::any_of(connections_, [&](const auto& one) { return one.second == process; });
}

bool DeliveryProcesses::ended(std::uint32_t process, SteadyTime patience_ends) const
{
    const auto found = living_.find(process);
    if (found == living_.end() || !found->second)
        return std::chrono::steady_clock::now() >= patience_ends;
    pollfd look{.fd = found->second.get(), .events = POLLIN, .revents = 0};
    return ::poll(&look, 1, 0) == 1;
}

/// The end of a connection comes just before that of its process, as a rule: so the first looks follow each other soon.
awaitable<void> DeliveryProcesses::see_off(std::uint32_t process)
{
    const SteadyTime patience_ends = std::chrono::steady_clock::now() + patience_;
    for (std::chrono::milliseconds pause{1}; !ended(process, patience_ends); pause = std::min(2 * pause, std::chrono::milliseconds{200})) {
        co_await sleep_for(pause);
        if (connected(process) || co_await cancelled())
            co_return;
    }
    if (living_.erase(process) > 0)
        write();
    on_end_(process);
}

void DeliveryProcesses::write() const
{
    std::ofstream file(path() + ".new", std::ios::trunc);
    for (const auto& [process, descriptor] : living_)
        file << process << '\n';
    file.close();
    std::error_code ignored;                                  // without it a restart may send some mail twice, within the bounds of a kill
    std::filesystem::rename(path() + ".new", path(), ignored);
}

}  // namespace posthorn::services
