// aggregate/ledger.hpp: what was seen, by kind, domain and day, until it is reported; and what became of each report, for a month.
// Shape    an SQLite database of one process. A row is one thing that was seen, as often as it was: its octets are a message of
//          handoff/aggregate.proto without domain and record.
// Bounds   of rows, by report and in all: what is beyond is counted as left out, and by good and bad as ever. Of reports, those that
//          are done included: strangers can have names without end, and the domain that would be one more has none.
// Durable  when add(), put() and finish() return.
// Errors   spool::Failed, as SQLite says it. A file that is damaged is put aside when it is opened: it holds numbers, no mail.
#pragma once

#include "aggregate/report.hpp"
#include "spool/sqlite.hpp"

#include <compare>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace posthorn::aggregate {

struct Subject {
    Kind kind = Kind::tls;
    std::string domain;
    Day day;
    auto operator<=>(const Subject&) const = default;
};

/// What was seen of one subject.
struct Seen {
    std::string record;                                            // as it was published last
    std::uint64_t good = 0, bad = 0;
    std::map<std::string, std::uint64_t> rows;
};

struct Report {
    enum class State : std::uint8_t { collecting = 0, waiting = 1, sent = 2, given_up = 3 };
    Subject subject;
    std::string record;
    std::uint64_t good = 0, bad = 0, left_out = 0;
    unsigned part = 1;
    State state = State::collecting;
    WallTime next{};                                               // collecting: unset; waiting: when it is tried; sent, given_up: when that was
    unsigned attempts = 0;
    std::vector<std::string> accepted;                             // texts of destinations that have it
    std::string note;                                              // where it went, or what was wrong
    bool done() const { return state == State::sent || state == State::given_up; }
};

struct LedgerLimits {
    std::size_t of_report = 20'000, in_all = 500'000;              // rows
    std::size_t reports = 100'000;
};

class Ledger {
public:
    /// Made where it is not there. `damaged`: the words for the log where the file was put aside.
    explicit Ledger(const std::string& file, LedgerLimits limits = {});
    const std::string& remark() const { return remark_; }

    void add(const std::map<Subject, Seen>& seen);
    /// All, the oldest day first.
    std::vector<Report> reports();
    std::optional<Report> report(const Subject& subject);
    void each_row(const Subject& subject, const std::function<void(std::string_view row, std::uint64_t count)>& take);
    /// State, next, attempts, accepted and note.
    void put(const Report& report);
    /// The same of a report that is done, whose rows go. What is seen of its day after that is its next part.
    void finish(const Report& report);
    /// Reports of days before this one that are done.
    void forget_before(Day day);

private:
    void write(const Report& report);
    LedgerLimits limits_;
    std::string remark_;
    std::unique_ptr<spool::Connection> database_;
    std::size_t rows_ = 0, reports_ = 0;
};

}  // namespace posthorn::aggregate
