#include "verify/desk.hpp"

namespace posthorn::verify {

namespace {

using namespace std::chrono_literals;
using Kind = Finding::Kind;

Finding unavailable() { return Finding(Kind::deferred, "Address verification status unavailable"); }

}  // namespace

Desk::Desk(Executor executor, Options options, Prober& prober, const Clock& clock, observe::Log log)
    : executor_(executor), options_(std::move(options)), prober_(prober), clock_(clock), log_(std::move(log)), cache_(options_.map, clock, log_),
      tasks_(executor)
{
}

void Desk::start()
{
    tasks_.spawn(keep_file());
    tasks_.spawn(keep_clean());
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
    if (known.ask && !awaited) {
        if (outstanding_.size() < options_.pending_limit) {
            awaited = std::make_shared<Outstanding>(executor_);
            outstanding_.emplace(key, awaited);
            tasks_.spawn(probe(std::move(address), awaited));      // may have ended when this returns
        } else if (known.finding.kind == Kind::in_progress) {
            co_return Finding(Kind::deferred, "Too many address verification requests");
        }
    }
    if (known.finding.kind != Kind::in_progress) {
        ++counts_.from_cache;
        co_return known.finding;
    }
    const SteadyTime until = std::chrono::steady_clock::now() + patience;
    while (!awaited->finding) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        if (left <= 0ms || co_await cancelled())
            co_return known.finding;
        co_await awaited->ended.wait_for(left);
    }
    co_return *awaited->finding;
}

awaitable<void> Desk::probe(std::string address, std::shared_ptr<Outstanding> outstanding)
{
    ++counts_.probes;
    auto answer = co_await prober_.probe(options_.sender.at(clock_.wall()), address);
    if (answer) {
        learn(address, answer->finding);
        if (!answer->final_address.empty() && answer->final_address != address)
            learn(answer->final_address, answer->finding);
        outstanding->finding = std::move(answer->finding);
    } else {
        log_.warning("address verification of {}: {}", address, answer.error().text());
        outstanding->finding = unavailable();
    }
    outstanding_.erase(key_of(address));
    outstanding->ended.notify_all();
}

void Desk::learn(const std::string& address, const Finding& finding)
{
    const std::string key = key_of(address);
    const auto before = cache_.find(key);
    if (auto record = updated(before ? *before : std::nullopt, finding, clock_.wall(), options_.rules))
        cache_.put(key, *record);
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
