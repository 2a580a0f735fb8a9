#include "aggregate/sender.hpp"

#include "base/strings.hpp"
#include "mailauth/dmarc_record.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>

namespace posthorn::aggregate {

using namespace std::chrono_literals;

namespace {

constexpr auto first_pause = 5min;
constexpr unsigned doublings = 5, most_attempts = 14;      // 5 minutes doubled five times at most; 24 hours in all

/// The same in every process and build: FNV-1a.
std::uint64_t hash_of(std::string_view text)
{
    std::uint64_t hash = 14695981039346656037U;
    for (const char c : text)
        hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
    return hash;
}

std::chrono::minutes pause_after(unsigned attempts) { return first_pause * (1 << std::min(attempts - 1, doublings)); }

WallTime midnight_after(Day day) { return day + std::chrono::days(1); }

}  // namespace

/// What becomes of one attempt.
struct Sender::Attempt {
    std::vector<std::string> accepted, where;      // texts of places; with the queue id or status, for the log
    std::vector<std::string> later, never;         // what was wrong: it may be otherwise later, or not
};

WallTime Sender::due(const Report& report) const
{
    if (report.state != Report::State::collecting)
        return report.next;
    const auto spread = std::chrono::microseconds(settings_.spread).count();
    const std::uint64_t within = spread > 0 ? hash_of(report.subject.domain) % static_cast<std::uint64_t>(spread) : 0;
    return midnight_after(report.subject.day) + std::chrono::microseconds(within);
}

About Sender::about(const Report& report) const
{
    return {.kind = report.subject.kind,
            .domain = report.subject.domain,
            .day = report.subject.day,
            .part = report.part,
            .organization = settings_.organization,
            .address = settings_.address};
}

Sender::Made Sender::make(const Report& report)
{
    if (report.subject.kind == Kind::tls) {
        std::vector<TlsRow> rows;
        ledger_.each_row(report.subject, [&rows](std::string_view octets, std::uint64_t count) {
            handoff::TlsSeen seen;
            if (seen.ParseFromArray(octets.data(), static_cast<int>(octets.size())))
                rows.push_back({.policy = std::move(*seen.mutable_policy()), .failure = std::move(*seen.mutable_failure()), .count = count});
        });
        return {.document = tls_report(about(report), rows), .summary = tls_summary(about(report), rows)};
    }
    std::vector<DmarcRow> rows;
    ledger_.each_row(report.subject, [&rows](std::string_view octets, std::uint64_t count) {
        handoff::DmarcSeen seen;
        if (seen.ParseFromArray(octets.data(), static_cast<int>(octets.size())))
            rows.push_back({.row = std::move(*seen.mutable_row()), .count = count});
    });
    return {.document = dmarc_report(about(report), report.record, rows, report.left_out),
            .summary = dmarc_summary(about(report), rows, report.left_out)};
}

std::string Sender::document(const Report& report) { return make(report).document; }

/// RFC 7489 7.1.
awaitable<bool> Sender::agrees(const Report* report, Destination* place, Attempt* attempt)
{
    const std::string host = domain_of(*place), &domain = report->subject.domain;
    if (suffixes_ == nullptr || suffixes_->organizational_domain(host) == suffixes_->organizational_domain(domain))
        co_return true;
    const std::string name = fmt::format("{}._report._dmarc.{}", domain, host);
    const dns::Answer answer = co_await ways_.texts(name);
    if (answer.transient()) {
        attempt->later.push_back(fmt::format("{}: lookup of {} failed: {}", place->text, name, printable(answer.reason)));
        co_return false;
    }
    bool agreed = false;
    for (const dns::Record& record : answer.records) {
        if (record.type != dns::Type::txt || !mailauth::is_dmarc_record(record.text))
            continue;
        agreed = true;
        const std::string_view elsewhere = tag_of(record.text, "rua");
        if (elsewhere.empty())
            continue;
        // Somewhere else at the same host. Any other: to neither.
        const auto others = destinations_of(elsewhere, true);
        if (others.empty() || others.front().way != Destination::Way::mail || domain_of(others.front()) != host) {
            agreed = false;
            break;
        }
        *place = others.front();
    }
    if (!agreed)
        attempt->never.push_back(fmt::format("{}: {} does not take reports of {} (no TXT record {})", place->text, host, domain, name));
    co_return agreed;
}

/// Where it has not been yet, and may go.
awaitable<std::vector<Destination>> Sender::places(const Report* report, Attempt* attempt)
{
    const bool tls = report->subject.kind == Kind::tls;
    std::vector<Destination> chosen;
    for (Destination& place : destinations_of(tag_of(report->record, "rua"), !tls)) {
        if (!tls && place.way != Destination::Way::mail)
            attempt->never.push_back(place.text + ": reports of DMARC go by mail");
        else if (tls || co_await agrees(report, &place, attempt))
            chosen.push_back(std::move(place));
    }
    std::erase_if(chosen, [report](const Destination& place) { return std::ranges::find(report->accepted, place.text) != report->accepted.end(); });
    co_return chosen;
}

awaitable<void> Sender::deliver(const Report* report, const Destination* place, const Made* made, const std::string* packed, Attempt* attempt)
{
    if (place->way == Destination::Way::https) {
        const auto status = co_await ways_.post(*net::parse_http_url(place->text), "application/tlsrpt+gzip", *packed);
        if (status && *status / 100 == 2) {
            attempt->accepted.push_back(place->text);
            attempt->where.push_back(fmt::format("{} ({})", place->text, *status));
        } else
            attempt->later.push_back(
                fmt::format("{}: {}", place->text, status ? fmt::format("the answer is {}", *status) : printable(status.error().text())));
        co_return;
    }
    std::string text = letter_text(about(*report), {.to = place->address, .summary = made->summary, .attachment = *packed}, clock_.wall());
    if (place->most != 0 && text.size() > place->most) {
        attempt->never.push_back(fmt::format("{}: the report has {} octets, it takes {}", place->text, text.size(), place->most));
        co_return;
    }
    const auto queue_id = co_await ways_.mail(settings_.address, place->address, std::move(text));
    if (queue_id) {
        attempt->accepted.push_back(place->text);
        attempt->where.push_back(fmt::format("{} ({})", place->text, *queue_id));
        co_return;
    }
    auto& list = queue_id.error().status().starts_with('5') ? attempt->never : attempt->later;
    list.push_back(fmt::format("{}: {}", place->text, printable(queue_id.error().text())));
}

awaitable<void> Sender::send(Report report)
{
    Attempt attempt;
    if (settings_.except(report.subject.domain)) {
        attempt.never.emplace_back("it is to have none (aggregate_reports_exceptions)");
        co_return conclude(std::move(report), attempt);
    }
    // The attempt is on the disk before it is made: where it cannot be written nothing goes, and where what came of it cannot be, or the process is killed,
    // the next one has its pause all the same.
    ++report.attempts;
    report.state = Report::State::waiting;
    report.next = clock_.wall() + pause_after(report.attempts);
    ledger_.put(report);
    const std::vector<Destination> where = co_await places(&report, &attempt);
    if (where.empty() && attempt.later.empty() && attempt.never.empty() && report.accepted.empty())
        attempt.never.emplace_back("its record names no place that reports can go to");
    if (!where.empty()) {
        const Made made = make(report);
        const std::string packed = gzip(made.document);
        for (const Destination& place : where) {
            co_await deliver(&report, &place, &made, &packed, &attempt);
            if (!attempt.accepted.empty()) {
                std::ranges::move(attempt.accepted, std::back_inserter(report.accepted));
                attempt.accepted.clear();
                ledger_.put(report);  // a process that ends now does not send it there again
            }
        }
    }
    conclude(std::move(report), attempt);
}

void Sender::conclude(Report report, const Attempt& attempt)
{
    const WallTime now = clock_.wall();
    const auto join = [](const std::vector<std::string>& words) {
        std::string text;
        for (const std::string& one : words)
            text += (text.empty() ? "" : ", ") + one;
        return text;
    };
    const std::string head = fmt::format("aggregate report: kind={}, domain={}, day={:%F}, good={}, bad={}", kind_name(report.subject.kind),
                                         report.subject.domain, report.subject.day, report.good, report.bad);
    std::string wrong = join(attempt.later);
    if (!attempt.never.empty())
        wrong += (wrong.empty() ? "" : ", ") + join(attempt.never);
    if (!attempt.where.empty())
        log_.info("{}, to={}, status=sent", head, printable(join(attempt.where)));
    if (!attempt.later.empty() && report.attempts < most_attempts) {
        report.next = now + pause_after(report.attempts);
        report.note = wrong;
        ++counts_.failed;
        log_.warning("{}, status=deferred ({})", head, printable(wrong));
        return ledger_.put(report);
    }
    report.next = now;
    report.state = report.accepted.empty() ? Report::State::given_up : Report::State::sent;
    report.note = join(attempt.where);
    if (!wrong.empty())
        report.note += (report.note.empty() ? "" : "; ") + wrong;
    if (report.accepted.empty()) {
        ++counts_.failed;
        log_.info("{}, status=not sent ({})", head, printable(wrong));
    } else {
        ++counts_.sent;
        if (!wrong.empty())
            log_.info("{}, not to all: {}", head, printable(wrong));
    }
    ledger_.finish(report);
}

awaitable<void> Sender::send_due()
{
    for (Report& report : ledger_.reports()) {
        if (co_await cancelled())
            co_return;
        if (!report.done() && due(report) <= clock_.wall())
            co_await send(std::move(report));
    }
}

}  // namespace posthorn::aggregate
