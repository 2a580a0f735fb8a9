// observe/asked.hpp: whom a process asks while mail waits (filters, policy servers, databases, lists in the DNS ...), how long each takes and how
// often it fails, and which questions are open now. What a slow client is to be blamed for, and what is to be blamed on a helper.
// Use      a Question lives where somebody waits, as long as that lasts:
//              observe::Question question(observe::Helper::milter, spec.name);
//              const auto answer = co_await ...;
//              question.ended(answer.has_value());
//          One that ends without that was given up by who asked: it counts as neither.
// Threads  each event loop has its own, by thread: a Question begins and ends on one.
// Bounds   100 different ones; those beyond are "other". Names have 100 octets at most, and are of the configuration, never what strangers choose.
// Cost     two looks at the clock and at a map of few entries a question; nothing is allocated after the first.
#pragma once

#include "base/clock.hpp"
#include "observe/counters.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::observe {

enum class Helper : std::uint8_t { milter, policy, proxy_filter, dns_list, table, sasl, queue, dns, verification };
/// "milter", "proxy-filter": the label `kind`.
std::string_view name_of(Helper kind);

class Question;

class Asked {
public:
    static constexpr std::size_t most = 100, name_octets = 100;
    /// "lately": within this time, or up to twice that.
    static constexpr std::chrono::minutes lately{5};
    static constexpr std::chrono::minutes between_lines{1};

    Asked() = default;
    Asked(Asked&&) = delete;

    /// Of this thread's event loop.
    static Asked& here();

    struct Numbers {
        Histogram took;                            // of those that ended
        std::uint64_t failed = 0;                  // of these, how many without a usable answer
        std::uint64_t open = 0;
        std::chrono::microseconds oldest{}, longest{};   // of those open now; of all lately, open ones among them
    };
    using Key = std::pair<Helper, std::string>;
    /// In the order of kinds and names.
    std::vector<std::pair<Key, Numbers>> numbers(SteadyTime now);

    struct News {
        bool good = false;                         // it answers again
        std::string text;
    };
    /// What is worth a line now: questions that have been open for `after`, once a minute for each helper, and that it answers again. Not of
    /// Helper::dns and verification, whose other end is the whole Internet. after = 0: nothing is.
    std::vector<News> news(SteadyTime now, std::chrono::microseconds after);

private:
    friend class Question;
    struct Entry {
        Histogram took;
        std::uint64_t failed = 0, open = 0;
        Question* first = nullptr;                 // open ones, the oldest first
        Question* last = nullptr;
        SteadyTime half_began{};
        std::chrono::microseconds this_half{}, half_before{};
        std::optional<SteadyTime> said, silent_since;    // the last line about it; since when it has been silent, by that
        std::uint64_t answered_then = 0;
        void turn(SteadyTime now);
    };
    Entry& entry(Helper kind, std::string_view name);

    struct Before {
        using is_transparent = void;
        bool operator()(const auto& one, const auto& other) const
        {
            return one.first != other.first ? one.first < other.first : std::string_view(one.second) < std::string_view(other.second);
        }
    };
    std::map<Key, Entry, Before> entries_;
};

class Question {
public:
    Question(Helper kind, std::string_view name, SteadyTime now = std::chrono::steady_clock::now(), Asked& among = Asked::here());
    Question(Question&&) = delete;
    ~Question();

    /// With a usable answer, or without. What is said first counts.
    void ended(bool answered, SteadyTime now = std::chrono::steady_clock::now());

private:
    friend class Asked;
    void unlink();

    Asked::Entry* entry_;                          // null: it has ended
    SteadyTime began_;
    Question* before_ = nullptr;
    Question* behind_ = nullptr;
};

}  // namespace posthorn::observe
