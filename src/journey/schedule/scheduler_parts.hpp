// schedule/scheduler_parts.hpp: what a Scheduler holds of messages, sites and transports. For its own files.
#pragma once

#include "schedule/pace.hpp"
#include "schedule/scheduler.hpp"

namespace posthorn::schedule {

/// What one message still has to send to one site.
struct Scheduler::Job {
    MessageKey message;
    std::vector<std::uint32_t> recipients;
    std::size_t taken = 0;
    Manner manner;
};

struct Scheduler::Transport {
    std::string name;
    TransportOptions options;
    std::deque<Site*> ready;
    std::uint32_t in_flight = 0;              // without those that wait for a session
    SteadyTime not_before{};
    SteadyTime dead_until{};
    std::string reason;
};

struct Scheduler::Site {
    std::string key;
    Transport& transport;
    Window window;
    std::list<Job> jobs;
    Held* held = nullptr;                     // the shape of its MX set, where that has one
    std::string set;                          // its MX set, once a delivery has told it
    bool in_ready = false, in_delay = false, in_idle = false, in_wait = false;
    std::uint32_t ahead = 0;                  // of what is in flight: waits for a session, and has no slot of the transport
    std::size_t messages = 0;                 // active messages that name this site: it must not go away under them
    SteadyTime dead_until{};
    std::chrono::seconds retry{0};            // how long it stays dead, where its mail says so (RoutedRecipient.site_retry)
    SteadyTime idle_since{};
    std::string reason;
    Pace pace{SteadyTime{}};                  // since it had no mail
    Apart* apart = nullptr;                   // while it has mail, where it is one recipient address of a site

    Site(std::string name, Transport& owner) : key(std::move(name)), transport(owner), window(owner.options.window) {}
};

}  // namespace posthorn::schedule
