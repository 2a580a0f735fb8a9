#include "services/screen_link.hpp"

#include "handoff/frames.hpp"
#include "net/address.hpp"

namespace posthorn::services {

using handoff::Frame;
using handoff::ScreenedClient;
using receive::screen::Passed;

namespace {

constexpr std::size_t told_at_once = 1'000;       // on their way; more are dropped
constexpr int attempts = 15;                      // each takes up to `patience`, and the pause
constexpr std::chrono::seconds pause{1};
constexpr std::size_t most_services = 1'000;      // that are remembered by name

}  // namespace

ScreenLink::ScreenLink(Executor executor, std::string memory, std::string service)
    : service_(std::move(service)),
      memory_(executor, std::move(memory),
              {.channel = {.name = "memory", .call_limit = patience}, .longest_pause = std::chrono::milliseconds{500}, .wait_limit = patience}),
      tasks_(executor)
{
}

awaitable<std::optional<Passed>> ScreenLink::find(std::string address)
{
    ScreenedClient question;
    question.set_service(service_);
    question.set_address(std::move(address));
    const auto known = co_await memory_.call<ScreenedClient>(Frame::screen_known, std::move(question));
    co_return known ? receive::screen::parse_passed(known->passed()) : std::nullopt;
}

void ScreenLink::tell(const std::string& address, const Passed& passed)
{
    if (tasks_.size() >= told_at_once)
        return;
    ScreenedClient client;
    client.set_service(service_);
    client.set_address(address);
    client.set_passed(receive::screen::to_text(passed));
    tasks_.spawn(send(std::move(client)));
}

awaitable<void> ScreenLink::send(ScreenedClient client)
{
    for (int attempt = 0; attempt < attempts && !co_await cancelled(); ++attempt) {
        if (co_await memory_.call<ScreenedClient>(Frame::screen_passed, client) || closing_)
            co_return;
        co_await sleep_for(pause);
    }
}

/// Who passed a moment ago is told of all the same.
awaitable<void> ScreenLink::close()
{
    closing_ = true;
    co_await tasks_.drained();
    co_await tasks_.close();
    co_await memory_.close();
}

ScreenDesk::ScreenDesk(TaskGroup& tasks, SettingsOf settings_of, LogOf log_of, const Clock& clock, ipc::Dispatcher& dispatcher)
    : tasks_(tasks), settings_of_(std::move(settings_of)), log_of_(std::move(log_of)), clock_(clock)
{
    dispatcher.on<ScreenedClient, ScreenedClient>(Frame::screen_known, [this](ScreenedClient question) { return known(std::move(question)); });
    dispatcher.on_now<ScreenedClient, ScreenedClient>(Frame::screen_passed, [this](const ScreenedClient& client) { return told(client); });
}

/// Lines that name the same map know the same clients; without a map each line knows its own.
ScreenDesk::Kept& ScreenDesk::kept_for(const std::string& service)
{
    if (const auto found = by_service_.find(service); found != by_service_.end())
        return *found->second;
    if (by_service_.size() >= most_services)
        by_service_.clear();
    const Kept::Settings settings = settings_of_(service);
    auto& kept = by_map_[settings.map.empty() ? " " + service : settings.map];
    if (!kept) {
        kept = std::make_unique<Kept>(tasks_.executor(), settings, clock_, log_of_(service));
        tasks_.spawn(kept->run());
    } else {
        kept->reconfigure(settings);
    }
    by_service_.emplace(service, kept.get());
    return *kept;
}

awaitable<Result<ScreenedClient>> ScreenDesk::known(ScreenedClient question)
{
    ScreenedClient answer;
    if (const auto passed = co_await kept_for(question.service()).find(question.address()))
        answer.set_passed(receive::screen::to_text(*passed));
    co_return answer;
}

/// Keys and values go into a file: what is no address and no such text does not.
Result<ScreenedClient> ScreenDesk::told(const ScreenedClient& client)
{
    const auto address = net::IpAddress::parse(client.address());
    const auto passed = receive::screen::parse_passed(client.passed());
    if (!address || !passed)
        return Error{"no client that passed", "5.5.4"};
    kept_for(client.service()).put(address->text(), *passed);
    return ScreenedClient{};
}

void ScreenDesk::write_out()
{
    for (const auto& [map, kept] : by_map_)
        kept->write_out();
}

std::size_t ScreenDesk::clients() const
{
    std::size_t all = 0;
    for (const auto& [map, kept] : by_map_)
        all += kept->clients();
    return all;
}

}  // namespace posthorn::services
