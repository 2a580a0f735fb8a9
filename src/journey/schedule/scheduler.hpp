// schedule/scheduler.hpp: which recipients of which active message go to which site now.
// In       activate(): a message with its routed recipients. finished(): what became of a request.
// Out      next(): one request (one message, one site, at most recipient_limit recipients), none: nothing may start now.
//          take_suspended(): recipients that must be deferred because their site or transport is dead, with the reason.
// Order    a site's messages take turns, one request each; a transport's sites take turns; transports take turns.
//          A closed window, a rate delay or a dead site holds up that site and nothing else; what an MX set asks for (Shape), those sites
//          that it serves.
// Ahead    past a site's window some requests are given out to wait at the delivery process, so that no session of it lacks the next one:
//          small messages only, and none where anything but the window holds the site back. returned(): it was not tried.
// Owns     the sites and their windows; messages by key only. Bounded by what activate() was given: the caller stops at full().
#pragma once

#include "handoff/waits.hpp"
#include "schedule/deferred.hpp"
#include "schedule/pace.hpp"
#include "schedule/retry.hpp"
#include "schedule/shape.hpp"
#include "schedule/window.hpp"

#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace posthorn::schedule {

struct TransportOptions {
    WindowOptions window;
    std::uint32_t recipient_limit = 50;                   // 0: none. 1: a site is one recipient address, as in Postfix
    std::uint32_t delivery_limit = 0;                     // master.cf's process limit: deliveries at once. 0: none
    std::chrono::milliseconds rate_delay{0};              // between any two deliveries of the transport
    std::uint32_t ahead = 0;                              // requests beyond each delivery of a site's window
};

struct SchedulerOptions {
    std::function<TransportOptions(std::string_view transport)> transport;
    std::size_t active_messages = 20'000;                 // qmgr_message_active_limit
    std::size_t active_recipients = 20'000;               // qmgr_message_recipient_limit
    std::chrono::seconds site_retry{300};                 // how long a dead site stays dead: minimal_backoff_time
    std::chrono::seconds transport_retry{60};             // transport_retry_time
};

struct RoutedRecipient {
    std::uint32_t index;                                  // Recipient.index
    std::string_view transport;
    std::string_view site;                                // Route.site
    std::string_view address;                             // Route.address
    std::chrono::seconds site_retry{0};                   // in place of the options' for its site, until another recipient says otherwise
};

/// How a message is given out.
struct Manner {
    bool small = true;                                    // it may be given ahead
    bool apart = false;                                   // one recipient a request, whatever the transport takes
};

struct Request {
    std::uint64_t attempt;
    MessageKey message;
    std::string transport;
    std::string site;
    std::vector<std::uint32_t> recipients;                // indices
    std::uint32_t window;                                 // what the site takes at once, for the delivery process
    std::uint32_t ceiling = 0;                            // what its MX set takes at once, all its sites together; 0: not known
    bool ahead = false;                                   // beyond the window: it waits for one of the sessions
};

struct Suspended {
    MessageKey message;
    std::vector<std::uint32_t> recipients;
    std::string reason;                                   // what was wrong with the site when it was declared dead
    SteadyTime until{};                                   // not before; none: when the message's own time comes
};

/// What was changed for an MX set, and why; for the log.
struct ShapeChange {
    std::string set;
    Shape::Change change;
    std::uint32_t ceiling;                                // deliveries at once; 0: no limit
    double per_minute;                                    // mails; 0: no limit
    std::string said;
    SteadyTime until;                                     // given back whole by then, or silence until then
};

enum class SiteNews { answered, unreachable, none };

class Scheduler {
public:
    Scheduler(SchedulerOptions options, const Clock& clock);
    ~Scheduler();
    Scheduler(Scheduler&&) = delete;

    /// Attempts are numbered from here; a restarted qmgr gives a number above all that were in use.
    void number_attempts_from(std::uint64_t first) { next_attempt_ = first; }

    /// A number for a result that no single request gave.
    std::uint64_t take_attempt() { return next_attempt_++; }
    /// New limits. A site that is busy keeps its window until it falls idle.
    void reconfigure(SchedulerOptions options);

    bool full() const { return messages_.size() >= options_.active_messages || recipients_ >= options_.active_recipients; }
    std::size_t active() const { return messages_.size(); }
    bool is_active(MessageKey message) const { return messages_.contains(message); }

    void activate(MessageKey message, std::vector<RoutedRecipient> recipients, Manner manner = {});
    /// `ahead`: there is room for requests beyond a window too.
    std::optional<Request> next(bool ahead = true);
    std::optional<Suspended> take_suspended();
    /// When next() may have something although nothing was activated or finished since: a rate delay ends.
    std::optional<SteadyTime> wake_at() const;

    /// True: the message has no request in flight and none waiting; it is no longer active.
    bool finished(std::uint64_t attempt, SiteNews news, std::string_view reason = {});
    /// A request that was given ahead comes back untried: its recipients wait as before, first of their site. True as of finished().
    bool returned(std::uint64_t attempt);
    /// Mail that goes another way after all (best_mx_transport): it leaves its site, of which nothing was learned, and takes its turn where it goes now.
    /// `recipients`: those of the request, with their new way. True as of finished().
    bool moved(std::uint64_t attempt, std::vector<RoutedRecipient> recipients);
    /// What a delivery heard of how much its MX set takes; before finished(). `attempt` may be one of a qmgr before this one, then `site` counts.
    std::optional<ShapeChange> heard(std::uint64_t attempt, std::string_view site, const SiteNotice& notice);
    /// The same for recipients given out by take_suspended().
    bool suspended_done(const Suspended& suspended);
    /// A message that was deleted or put on hold: what waits of it is dropped. True: nothing of it is in flight.
    bool withdraw(MessageKey message);
    /// Of these recipients of a message those that were not given out yet: they wait here no more, and are the caller's until suspended_done().
    std::vector<std::uint32_t> withhold(MessageKey message, const std::vector<std::uint32_t>& recipients);
    /// No process for this transport answers (or it does again): its recipients are suspended.
    void transport_failed(std::string_view transport, std::string_view reason);
    /// postqueue -f: dead sites are tried again at once.
    void revive_all();

    /// What MX sets have asked for, to be kept beyond the end of this process: those of which it has changed since the last time, by their names;
    /// none: nothing is held back. `pressing`: more than which sites they serve has changed.
    std::vector<std::pair<std::string, std::optional<peers::Restraint>>> take_changed();
    bool pressing() const { return pressing_; }
    bool changed() const { return !changed_.empty(); }
    /// Before anything is activated.
    void restore(const std::string& set, const peers::Restraint& kept);
    /// An operator's word: what the set asked for is forgotten. False: nothing was held back.
    bool lift(const std::string& set);
    std::vector<std::string> restrained() const;

    struct SiteState {
        std::uint32_t window, in_flight;
        std::size_t waiting_messages;
        bool dead;
        std::string reason;
        std::string set;  // whose shape holds it back; empty: none
        std::uint32_t ceiling = 0;  // 0: none
        double per_minute = 0;  // 0: no limit
        SteadyTime suspended_until{}, recovered_at{};
        std::string said;  // why
        std::string transport;
        std::size_t waiting_recipients;
        SteadyTime dead_until, not_before;  // zero: neither
        SteadyTime transport_dead_until;
        std::string transport_reason;
        double came_per_minute = 0, left_per_minute = 0;  // recipients (pace.hpp)
    };
    /// Of a site whose transport has a recipient limit of 1, that of all its recipient addresses together.
    std::optional<SiteState> site(std::string_view site) const;
    /// Sites with something waiting or under way, or that something holds back: most mail first.
    std::vector<std::string> busiest(std::size_t most) const;
    /// Why nothing is sent to this site now, in its own words; none: it asked for no silence.
    std::optional<std::string> silent(std::string_view site) const;
    /// What mail for this site by this transport would find. held_up: its turn comes later, by what its MX set takes. closed: nothing is given
    /// to it now: silence, a dead site, a transport without a process.
    enum class Way : std::uint8_t { open, held_up, closed };
    Way way(std::string_view transport, std::string_view site) const;

    /// Where open recipients of an active message are, and what holds them up (schedule/stands.cpp).
    struct Stand {
        std::string site, transport;
        std::vector<std::uint32_t> recipients;  // indices
        handoff::Wait wait = handoff::Wait::nothing;
        SteadyTime since{}, until{};  // zero: not known
        std::size_t ahead = 0;  // messages whose turn comes before
        std::string reason;
    };
    std::vector<Stand> stands(MessageKey message) const;

private:
    std::optional<SiteState> site_apart(std::string_view name) const;

    struct Job;  // scheduler_parts.hpp has these three
    struct Site;
    struct Transport;
    struct Held;
    struct Message {
        std::size_t open = 0;  // recipients queued, suspended or in flight
        Manner manner;
        bool withdrawn = false;
        std::vector<Site*> sites;  // where it has, or had, a job
    };
    struct Flight {
        MessageKey message;
        Site* site;
        std::vector<std::uint32_t> recipients;
        Held* held;  // counted there; none: the site had no shape
        SteadyTime begun;
    };
    struct Ruled {
        std::uint32_t sessions = 0;  // at once; 0: not said
        std::chrono::microseconds interval{0};  // between two mails; 0: not said
        void tighten(const Ruled& other);
        bool operator==(const Ruled&) const = default;
    };
    /// A site of a transport with a recipient limit of 1: each of its recipient addresses is a site, which seldom has mail for long.
    struct Apart {
        std::string name;
        std::size_t busy = 0;  // of those sites
        Pace pace{SteadyTime{}};
    };
    /// One MX set with a shape.
    struct Held {
        std::string set;
        Shape shape;
        std::vector<std::string> sites;  // by their keys
        std::unordered_map<std::string, Ruled> ruled;  // by site: what a rule says of it
        Ruled strictest;  // of them
        std::deque<Site*> waiting;  // for room under its ceiling
        std::string said;
        SteadyTime used{};
    };

    Transport& transport_of(std::string_view name);
    Site& site_of(Transport& transport, std::string key);
    void put_apart(Site& site, std::string_view name, SteadyTime now);
    bool may_start(const Site& site, SteadyTime now) const;
    void offer(Site& site);
    void suspend_queue(Site& site);
    void join(Site& site, Held& held);
    static void rule(Held& held, const std::string& site, Ruled said);
    void offer_waiting(Held& held);
    void forget_shapes(SteadyTime now);
    void note_change(const Held& held, bool pressing);
    void wake_sites(SteadyTime now);
    std::optional<Request> next_of(Transport& transport);
    void rest(Site& site);
    static void leave_slot(Site& site);
    bool settle(MessageKey message, std::size_t recipients);
    bool forget_if_done(MessageKey message);

    SchedulerOptions options_;
    const Clock& clock_;
    std::uint64_t next_attempt_ = 1;
    std::size_t recipients_ = 0;
    bool ahead_now_ = true;  // room for requests beyond a window, when next() was asked last
    std::unordered_map<MessageKey, Message> messages_;
    std::unordered_map<std::string, std::unique_ptr<Site>> sites_;
    std::unordered_map<std::string, Apart> apart_;  // by the site that its recipient addresses are of, while one of them has mail
    std::map<std::string, std::unique_ptr<Transport>, std::less<>> transports_;
    std::deque<Transport*> turns_;
    std::unordered_map<std::uint64_t, Flight> flights_;
    std::map<std::string, std::unique_ptr<Held>, std::less<>> shapes_;  // by MX set: few, those that asked for something
    std::unordered_map<std::string, Held*> shaped_;  // by site
    std::set<std::string> changed_;  // sets whose restraint is not kept yet
    bool pressing_ = false;
    SteadyTime shapes_seen_{};
    std::multimap<SteadyTime, Site*> delayed_;  // sites in a rate delay
    std::deque<Suspended> suspended_;
    std::deque<std::pair<SteadyTime, Site*>> idle_;  // sites kept for their window, oldest first
};

}  // namespace posthorn::schedule
