// heard/ledger.hpp: the reports that came, until they are too old.
// Shape    an SQLite database of one process. A row's octets are handoff::DmarcRow or handoff::TlsSeen.
// Once     a report that comes again (organization, its own id, domain) is the one that is there.
// Bounds   reports and octets of rows by domain and day of arrival, domains, reports and octets in all: strangers can send without end. What is beyond is not kept,
//          and whoever asks hears so; what is kept already stays.
// Durable  when keep() returns.
// Errors   spool::Failed, as SQLite says it. A file that is damaged is put aside when it is opened: it holds no mail.
#pragma once

#include "heard/report.hpp"
#include "spool/sqlite.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::heard {

/// How it came.
struct Origin {
    std::string author, sender, proof, queue_id;
    WallTime arrived{};
};

struct Entry {
    std::uint64_t number = 0;
    Report report;  // without its rows
    Origin origin;
    aggregate::Day day;  // most of it is of that one; of arrival where it does not say
};

struct LedgerLimits {
    std::size_t of_domain_and_day = 500, octets_of_domain_and_day = 8 << 20, domains = 200, reports = 50'000, octets = 128 << 20;
};

class Ledger {
public:
    enum class Kept : std::uint8_t { kept, known, no_room };

    explicit Ledger(const std::string& file, LedgerLimits limits = {});
    /// Where the file was put aside: the words for the log.
    const std::string& remark() const { return remark_; }

    /// All reports of one mail, in one transaction; what became of each.
    std::vector<Kept> keep(const std::vector<Report>& reports, const Origin& origin);
    /// The last arrival first. `domain` empty: of all; `since`: of days from this one on.
    std::vector<Entry> entries(std::string_view domain, aggregate::Day since);
    std::optional<Entry> entry(std::uint64_t number);
    void each_row(const Entry& entry, const std::function<void(const Row& row)>& take);
    /// Those that came before.
    void forget_before(WallTime time);

private:
    bool has_room(const Report& report, std::size_t size, aggregate::Day arrival, std::size_t reports, std::size_t octets);
    void count();

    LedgerLimits limits_;
    std::string remark_;
    std::unique_ptr<spool::Connection> database_;
    std::size_t reports_ = 0, octets_ = 0;
};

/// Of which day it is.
aggregate::Day day_of(const Report& report, WallTime arrived);

}  // namespace posthorn::heard
