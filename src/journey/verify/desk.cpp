#include "verify/desk.hpp"

#include "base/strings.hpp"

#include <random>

namespace posthorn::verify {

namespace {

using namespace std::chrono_literals;
using Kind = Finding::Kind;

constexpr std::size_t failed_limit = 10'000, elsewhere_limit = 10'000;
/// A probe of a sibling that has not ended after this is not waited for.
constexpr std::chrono::seconds probe_elsewhere{60};
/// Between looks at what is to be refreshed.
constexpr std::chrono::milliseconds most_sleep = 30s;

/// A local part that nobody has: 20 letters and digits.
std::string nobody()
{
    constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz0123456789";
    std::random_device random;
    std::string local_part(20, 'x');
    for (char& c : local_part)
        c = letters[random() % letters.size()];
    return local_part;
}

std::string domain_of(std::string_view address)
{
    const auto at = address.rfind('@');
    return at == address.npos ? std::string() : to_lower(address.substr(at + 1));
}

Finding unavailable() { return Finding(Kind::deferred, "Address verification status unavailable"); }

}  // namespace

Desk::Desk(Executor executor, Options options, Prober& prober, const Clock& clock, observe::Log log)
    : executor_(executor), options_(std::move(options)), prober_(prober), clock_(clock), log_(std::move(log)), cache_(options_.map, clock, log_),
      wanted_one_(executor), to_write_(executor), tasks_(executor)
{
}

void Desk::start()
{
    tasks_.spawn(keep_file());
    tasks_.spawn(keep_clean());
    tasks_.spawn(keep_ahead());
}

awaitable<void> Desk::close()
{
    co_await tasks_.close();
    co_await flush();
}

awaitable<Finding> Desk::ask(std::string address, std::chrono::milliseconds patience)
{
    ++counts_.questions;
    const std::string key = key_of(address);
    const auto record = cache_.find(key);
    if (!record) {
        log_.warning("address_verify_map: {}", record.error().text());
        co_return unavailable();
    }
    const auto under_way = outstanding_.find(key);
    std::shared_ptr<Outstanding> awaited = under_way == outstanding_.end() ? nullptr : under_way->second;
    const Opinion known = opinion(*record, awaited != nullptr, clock_.wall(), options_.rules);
    const bool elsewhere = known.finding.kind != Kind::in_progress && is_asked_elsewhere(key);       // the refresh is a sibling's
    if (known.ask && !awaited && !elsewhere && (known.finding.kind != Kind::deliverable || !failed_lately(key))) {
        if (outstanding_.size() < options_.pending_limit) {
            awaited = begin_probe(key, address, patience);         // may have ended when this returns
        } else if (known.finding.kind == Kind::in_progress) {
            co_return Finding(Kind::deferred, "Too many address verification requests");
        }
    }
    if (known.finding.kind != Kind::in_progress) {
        ++counts_.from_cache;
        if (!known.ask)
            want(key, std::move(address), **record);
        co_return known.finding;
    }
    const SteadyTime until = std::chrono::steady_clock::now() + patience;
    ++awaited->waiting;
    while (true) {
        if (const std::optional<Finding>& finding = awaited->finding)
            co_return *finding;
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        if (left <= 0ms || co_await cancelled()) {
            --awaited->waiting;
            co_return known.finding;
        }
        co_await awaited->ended.wait_for(left);
    }
}

std::shared_ptr<Desk::Outstanding> Desk::begin_probe(const std::string& key, std::string address, std::chrono::milliseconds patience)
{
    auto begun = std::make_shared<Outstanding>(executor_, clock_.wall());
    outstanding_.emplace(key, begun);
    tasks_.spawn(probe(std::move(address), begun, patience));
    return begun;
}

void Desk::want(const std::string& key, std::string address, const Record& record)
{
    if (options_.refresh_rate != 0 && wanted_.size() < wanted_limit && worth_refreshing(record, clock_.wall(), options_.rules) &&
        wanted_.insert(key).second) {
        due_.emplace(worth(record, options_.rules).refresh, std::move(address));
        wanted_one_.notify_all();
    }
}

void Desk::refresh_ahead()
{
    const SteadyTime now = clock_.steady();
    const double rate = static_cast<double>(options_.refresh_rate) / 60;
    const double passed = std::chrono::duration<double>(now - std::exchange(allowed_at_, now)).count();
    allowance_ = std::min(std::max(1.0, 10 * rate), allowance_ + passed * rate);       // what was saved up is no burst
    while (!due_.empty() && due_.begin()->first < clock_.wall() && allowance_ >= 1 && outstanding_.size() < options_.pending_limit / 2) {
        std::string address = std::move(due_.begin()->second);
        due_.erase(due_.begin());
        const std::string key = key_of(address);
        wanted_.erase(key);
        const auto found = cache_.find(key);
        if (!found)
            continue;
        const auto& record = *found;
        // Somebody may have asked meanwhile, or the rules may be others now. What has expired waits for a question.
        if (!record || outstanding_.contains(key) || expired(*record, clock_.wall(), options_.rules) ||
            !opinion(record, false, clock_.wall(), options_.rules).ask || failed_lately(key))
            continue;
        allowance_ -= 1;
        ++counts_.ahead;
        (void)begin_probe(key, std::move(address));
    }
}

awaitable<void> Desk::keep_ahead()
{
    while (!co_await cancelled()) {
        if (due_.empty())                                       // nothing to refresh: nothing to wake for
            co_await wanted_one_.wait();
        if (co_await cancelled())
            co_return;
        const WallTime next = due_.empty() ? clock_.wall() : due_.begin()->first;
        co_await sleep_for(std::clamp(std::chrono::ceil<std::chrono::milliseconds>(next - clock_.wall()), std::chrono::milliseconds{1s}, most_sleep));
        if (!co_await cancelled())                              // a probe begun now would be nobody's
            refresh_ahead();
    }
}

std::optional<Told> Desk::word(const std::string& key)
{
    const auto record = cache_.find(key);
    if (!record)
        return std::nullopt;
    const auto& found = *record;
    return found ? told_of(key, *found, clock_.wall(), options_.rules) : std::nullopt;
}

bool Desk::hear(const Told& told, const std::string& by)
{
    elsewhere_.erase(told.key);
    const auto under_way = outstanding_.find(told.key);
    const auto before = cache_.find(told.key);
    const auto record = before ? heard(*before, told, by, clock_.wall(), options_.rules) : std::nullopt;
    if (record) {
        ++counts_.told;
        cache_.put(told.key, *record);
        to_write_.notify_all();
        failed_.erase(told.key);
    }
    if (under_way != outstanding_.end()) {
        if (record)
            under_way->second->finding = Finding(record->kind, record->text);
        under_way->second->ended.notify_all();
    }
    return record.has_value();
}

bool Desk::is_asked_elsewhere(const std::string& key)
{
    const auto asked = elsewhere_.find(key);
    if (asked != elsewhere_.end() && asked->second.until > clock_.steady())
        return true;
    if (asked != elsewhere_.end())
        elsewhere_.erase(asked);
    return false;
}

void Desk::asked_elsewhere(const std::string& key, const std::string& by, bool over)
{
    if (elsewhere_.size() >= elsewhere_limit)
        std::erase_if(elsewhere_, [now = clock_.steady()](const auto& one) { return one.second.until <= now; });
    if (!over && elsewhere_.size() < elsewhere_limit)
        elsewhere_.insert_or_assign(key, Elsewhere{by, clock_.steady() + probe_elsewhere});
    if (!over)
        return;
    elsewhere_.erase(key);
    if (const auto under_way = outstanding_.find(key); under_way != outstanding_.end())
        under_way->second->ended.notify_all();
}

void Desk::away(const std::string& by)
{
    std::erase_if(elsewhere_, [&](const auto& one) { return one.second.by == by; });
    for (const auto& [key, outstanding] : outstanding_)
        outstanding->ended.notify_all();
}

/// Half the patience is left for a probe from here.
awaitable<bool> Desk::answered_elsewhere(const std::string& key, std::shared_ptr<Outstanding> outstanding, std::chrono::milliseconds patience)
{
    const SteadyTime until = std::chrono::steady_clock::now() + patience / 2;
    while (!outstanding->finding && is_asked_elsewhere(key) && !co_await cancelled()) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        if (left <= 0ms)
            break;
        co_await outstanding->ended.wait_for(left);
    }
    co_return outstanding->finding.has_value();
}

awaitable<void> Desk::probe(std::string address, std::shared_ptr<Outstanding> outstanding, std::chrono::milliseconds patience)
{
    const std::string key = key_of(address);
    if (co_await answered_elsewhere(key, outstanding, patience)) {
        outstanding_.erase(key);
        outstanding->ended.notify_all();
        co_return;
    }
    ++counts_.probes;
    if (on_asking)
        on_asking(key, false);
    auto answer = co_await prober_.probe(options_.sender.at(clock_.wall()), address);
    if (answer) {
        learn(address, answer->finding);
        if (!answer->final_address.empty() && answer->final_address != address)
            learn(answer->final_address, answer->finding);
        outstanding->finding = answer->finding;
    } else if (answer.error().status() == "4.3.2") {
        outstanding->finding = Finding(Kind::deferred, answer.error().what());
    } else {
        log_.warning("address verification of {}: {}", address, answer.error().text());
        outstanding->finding = unavailable();
    }
    outstanding_.erase(key);
    outstanding->ended.notify_all();
    if (on_asking && !word(key))
        on_asking(key, true);
    if (!answer || answer->finding.kind != Kind::deliverable)
        co_return;
    const std::string domain = domain_of(answer->final_address.empty() ? address : answer->final_address);
    if (answer->takes_all)
        learn_control(domain, answer->finding);
    else if (const auto before = cache_.find(control_key_of(domain)); answer->may_control && !domain.empty() && before &&
                                                                      control_due(*before, clock_.wall(), options_.rules) &&
                                                                      controls_.insert(domain).second)
        co_await control(domain);
}

awaitable<void> Desk::control(std::string domain)
{
    ++counts_.controls;
    const auto answer = co_await prober_.probe(options_.sender.at(clock_.wall()), nobody() + "@" + domain);
    if (answer)
        learn_control(domain, answer->finding);
    controls_.erase(domain);
}

void Desk::learn_control(const std::string& domain, const Finding& finding)
{
    const std::string key = control_key_of(domain);
    const std::optional<Record> before = cache_.find(key).value_or(std::nullopt);
    const bool was = before && before->kind == Kind::deliverable, is = finding.kind == Kind::deliverable;
    if (was && !is && finding.kind != Kind::undeliverable)
        return;                                                 // not to be had just now: what was known stays
    if (is && !was)
        log_.info("verify-useless: {} takes every recipient, also one made up: its addresses count as verified, which says little ({})", domain,
                  finding.text);
    else if (was && !is)
        log_.info("verify-useless no more: {} refuses a recipient made up ({})", domain, finding.text);
    cache_.put(key, Record(finding.kind, std::chrono::floor<std::chrono::seconds>(clock_.wall()), finding.text));
    to_write_.notify_all();
}

Result<Desk::Standing> Desk::standing(std::string_view address)
{
    Standing found;
    TRY(found.record, cache_.find(key_of(address)));
    if (found.record)
        found.worth = worth(*found.record, options_.rules);
    if (const auto record = cache_.find(control_key_of(domain_of(address))))
        found.control = *record;
    if (const auto under_way = outstanding_.find(key_of(address)); under_way != outstanding_.end()) {
        found.asked_since = under_way->second->since;
        found.waiting = under_way->second->waiting;
    }
    return found;
}

bool Desk::failed_lately(const std::string& key)
{
    const auto found = failed_.find(key);
    return found != failed_.end() && clock_.steady() - found->second < retry_pause;
}

void Desk::learn(const std::string& address, const Finding& finding)
{
    const std::string key = key_of(address);
    const auto before = cache_.find(key);
    if (auto record = updated(before ? *before : std::nullopt, finding, clock_.wall(), options_.rules)) {
        cache_.put(key, *record);
        to_write_.notify_all();
        failed_.erase(key);
        if (on_word && told_of(key, *record, clock_.wall(), options_.rules))
            on_word(key);
    } else if (before && *before) {
        if (failed_.size() >= failed_limit)
            std::erase_if(failed_, [now = clock_.steady()](const auto& one) { return now - one.second >= retry_pause; });
        if (failed_.size() < failed_limit)
            failed_.insert_or_assign(key, clock_.steady());
    }
}

awaitable<void> Desk::flush()
{
    const auto written = co_await cache_.flush();
    std::string trouble = written ? std::string{} : written.error().text();
    if (trouble != trouble_ && !trouble.empty())                // said once, not every second that the disk is full
        log_.warning("address_verify_map: {}", trouble);
    trouble_ = std::move(trouble);
}

awaitable<void> Desk::keep_file()
{
    while (!co_await cancelled()) {
        if (!cache_.dirty())                                    // nothing to write: nothing to wake for
            co_await to_write_.wait();
        if (co_await cancelled())                               // close() writes
            co_return;
        co_await sleep_for(1s);
        co_await flush();
    }
}

awaitable<void> Desk::keep_clean()
{
    SteadyTime last = clock_.steady();
    while (!co_await cancelled()) {
        co_await sleep_for(1min);
        if (options_.cleanup_interval == 0s || clock_.steady() - last < options_.cleanup_interval || co_await cancelled())
            continue;
        last = clock_.steady();
        const auto cleaned = co_await cache_.cleanup(options_.rules);
        if (cleaned)
            log_.info("cache {} full cleanup: retained={} dropped={} entries", options_.map.empty() ? "in memory" : options_.map, cleaned->retained,
                      cleaned->dropped);
        else
            log_.warning("cache {} cleanup: {}", options_.map, cleaned.error().text());
    }
}

}  // namespace posthorn::verify
