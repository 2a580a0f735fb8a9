// services/screen_link.hpp: who passed the tests before the greeting, in two processes.
// ScreenLink   in smtpd, where it tests clients: asks memory, and waits for the answer no longer than `patience`; tells it who passed. What memory
//              cannot be told within half a minute is dropped: such a client is tested anew by others.
// ScreenDesk   in memory: answers, and keeps what it is told (receive/screen/kept.hpp), for each postscreen_cache_map that the lines of master.cf name.
#pragma once

#include "handoff/screen.pb.h"
#include "ipc/client.hpp"
#include "ipc/dispatcher.hpp"
#include "receive/screen/kept.hpp"

#include <functional>
#include <map>
#include <memory>

namespace posthorn::services {

class ScreenLink final : public receive::screen::Remembered {
public:
    static constexpr std::chrono::milliseconds patience{1'000};

    /// `memory` is its socket, `service` the name column of our own line.
    ScreenLink(Executor executor, std::string memory, std::string service);
    void start() { memory_.start(); }
    awaitable<void> close();
    awaitable<std::optional<receive::screen::Passed>> find(std::string address) override;
    void tell(const std::string& address, const receive::screen::Passed& passed) override;

private:
    awaitable<void> send(handoff::ScreenedClient client);

    std::string service_;
    ipc::Client memory_;
    TaskGroup tasks_;
    bool closing_ = false;
};

class ScreenDesk {
public:
    /// What a line of master.cf says, by its name column; of one without options of its own, main.cf.
    using SettingsOf = std::function<receive::screen::Kept::Settings(const std::string& service)>;
    using LogOf = std::function<observe::Log(const std::string& service)>;

    ScreenDesk(TaskGroup& tasks, SettingsOf settings_of, LogOf log_of, const Clock& clock, ipc::Dispatcher& dispatcher);
    ScreenDesk(ScreenDesk&&) = delete;
    /// The lines may say something else now.
    void reload() { by_service_.clear(); }
    /// What is not stored yet, when the tasks have ended. Blocks.
    void write_out();
    std::size_t clients() const;

private:
    using Kept = receive::screen::Kept;
    Kept& kept_for(const std::string& service);
    awaitable<Result<handoff::ScreenedClient>> known(handoff::ScreenedClient question);
    Result<handoff::ScreenedClient> told(const handoff::ScreenedClient& client);

    TaskGroup& tasks_;
    SettingsOf settings_of_;
    LogOf log_of_;
    const Clock& clock_;
    std::map<std::string, std::unique_ptr<Kept>> by_map_;
    std::map<std::string, Kept*> by_service_;
};

}  // namespace posthorn::services
