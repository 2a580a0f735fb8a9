#include "services/sts_link.hpp"

#include "dns/record.hpp"
#include "handoff/frames.hpp"
#include "tables/build.hpp"
#include "tables/table.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::services {

using handoff::DomainPolicy;
using handoff::Frame;

namespace {

constexpr std::size_t policies_at_once = 1'000;       // on their way; more are dropped
constexpr int telling_attempts = 15;
constexpr std::chrono::seconds telling_pause{2}, policies_look_interval{30};

}  // namespace

StsLink::StsLink(Executor executor, std::string memory)
    : memory_(executor, std::move(memory),
              {.channel = {.name = "memory", .call_limit = patience}, .longest_pause = std::chrono::milliseconds{500}, .wait_limit = patience}),
      tasks_(executor)
{
}

awaitable<Result<std::optional<std::string>>> StsLink::find(std::string domain)
{
    DomainPolicy question;
    question.set_domain(std::move(domain));
    CO_TRY(const DomainPolicy known, co_await memory_.call_again<DomainPolicy>(Frame::sts_known, std::move(question)));
    co_return known.known().empty() ? std::nullopt : std::optional(known.known());
}

void StsLink::keep(const std::string& domain, const std::string& octets)
{
    if (tasks_.size() >= policies_at_once)
        return;
    DomainPolicy policy;
    policy.set_domain(domain);
    policy.set_known(octets);
    tasks_.spawn(send(std::move(policy)));
}

awaitable<void> StsLink::send(DomainPolicy policy)
{
    for (int attempt = 0; attempt < telling_attempts && !co_await cancelled(); ++attempt) {
        if (co_await memory_.call<DomainPolicy>(Frame::sts_fetched, policy) || closing_)
            co_return;
        co_await sleep_for(telling_pause);
    }
}

/// What was fetched a moment ago is told all the same.
awaitable<void> StsLink::close()
{
    closing_ = true;
    co_await tasks_.drained();
    co_await tasks_.close();
    co_await memory_.close();
}

StsDesk::StsDesk(std::string data_directory, const Clock& clock, observe::Log log, Executor executor, ipc::Dispatcher& dispatcher)
    : path_(std::move(data_directory) + "/mta_sts"), clock_(clock), log_(std::move(log)), change_(executor)
{
    if (const auto done = read(); !done) {
        in_trouble_ = true;
        log_.warning("{}; the policies of MTA-STS in it are not known", done.error().text());
    }
    dispatcher.on_now<DomainPolicy, DomainPolicy>(Frame::sts_known, [this](const DomainPolicy& question) {
        DomainPolicy answer;
        if (const auto at = known_.find(question.domain()); at != known_.end() && clock_.wall() < at->second.until())
            answer.set_known(sts::octets_of(at->second));
        return Result<DomainPolicy>(answer);
    });
    dispatcher.on_now<DomainPolicy, DomainPolicy>(Frame::sts_fetched, [this](const DomainPolicy& policy) { return told(policy); });
}

Result<void> StsDesk::write(const std::string& path, const Batch& batch)
{
    TRY(const auto builder, tables::build("lmdb", path, {.incremental = true, .duplicate = tables::BuildOptions::Duplicate::replace, .mode = 0600}));
    for (const auto& [domain, octets] : batch) {
        if (octets.empty())
            builder->erase(domain);
        else
            builder->put(domain, octets);
    }
    TRY_VOID(builder->commit());
    return {};
}

Result<void> StsDesk::read()
{
    TRY_VOID(write(path_, {}));                   // makes it where it is not there
    tables::Tables tables(observe::Log{std::make_shared<observe::MemorySink>(), "mta_sts"}, clock_);
    return tables.open("lmdb:" + path_, {.fold = false, .substitute = false, .utf8 = false})
        ->visit([&](std::string_view domain, std::string_view octets) {
            if (auto known = sts::known_of(octets); known && clock_.wall() < known->until())
                known_.insert_or_assign(std::string(domain), *std::move(known));
            else
                changed_.insert(std::string(domain));
        });
}

void StsDesk::forget(std::map<std::string, sts::Known>::iterator which)
{
    changed_.insert(which->first);
    known_.erase(which);
}

Result<DomainPolicy> StsDesk::told(const DomainPolicy& policy)
{
    auto known = sts::known_of(policy.known());
    if (!known || !dns::is_hostname(policy.domain()) || policy.domain().size() > 253)
        return Error{"no policy of a domain", "5.5.4"};
    const auto before = known_.find(policy.domain());
    if (before != known_.end() && before->second.fetched > known->fetched && before->second.fetched <= clock_.wall())
        return DomainPolicy{};                    // another process was later
    known_.insert_or_assign(policy.domain(), *std::move(known));
    changed_.insert(policy.domain());
    if (known_.size() > limit)
        forget(std::ranges::min_element(known_, {}, [](const auto& one) { return one.second.until(); }));
    change_.notify_all();
    return DomainPolicy{};
}

StsDesk::Batch StsDesk::batch()
{
    Batch made;
    for (const std::string& domain : std::exchange(changed_, {})) {
        const auto at = known_.find(domain);
        made.emplace(domain, at != known_.end() ? sts::octets_of(at->second) : std::string());
    }
    return made;
}

/// What could not be stored is tried again.
void StsDesk::written(const Result<void>& result, const Batch& batch)
{
    if (result) {
        in_trouble_ = false;
        return;
    }
    for (const auto& [domain, octets] : batch)
        changed_.insert(domain);
    if (!std::exchange(in_trouble_, true))
        log_.warning("{}; policies of MTA-STS are not stored", result.error().text());
}

awaitable<void> StsDesk::run()
{
    while (!co_await cancelled()) {
        if (changed_.empty() || in_trouble_)
            co_await change_.wait_for(policies_look_interval);
        if (changed_.empty())
            continue;
        const Batch next = batch();
        written(co_await on_thread(thread_, [path = path_, next] { return write(path, next); }), next);
    }
}

void StsDesk::write_out()
{
    if (changed_.empty())
        return;
    const Batch last = batch();
    written(write(path_, last), last);
}

}  // namespace posthorn::services
