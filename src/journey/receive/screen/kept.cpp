#include "receive/screen/kept.hpp"

#include "net/address.hpp"
#include "receive/screen/params.hpp"
#include "tables/build.hpp"
#include "tables/table.hpp"

#include <fmt/format.h>

namespace posthorn::receive::screen {

namespace {

constexpr std::chrono::seconds write_interval{1}, look_interval{30};
constexpr tables::Flags as_stored{.fold = false, .substitute = false, .utf8 = false};

/// One process writes: there is nobody to share the file with.
std::string_view file_of(std::string_view map)
{
    while (map.starts_with("proxy:"))
        map.remove_prefix(6);
    return map;
}

}  // namespace

Kept::Settings Kept::Settings::from(const config::Snapshot& snapshot)
{
    Settings settings;
    settings.map = file_of(snapshot.get(postscreen_cache_map));
    settings.limit = static_cast<std::size_t>(snapshot.get(smtpd_screen_memory_limit));
    settings.retention = snapshot.get(postscreen_cache_retention_time);
    settings.cleanup = snapshot.get(postscreen_cache_cleanup_interval);
    return settings;
}

Kept::Kept(Executor executor, Settings settings, const Clock& clock, observe::Log log)
    : settings_(std::move(settings)), clock_(clock), log_(std::move(log)), allowed_(settings_.limit, settings_.retention), cleaned_(clock.wall()),
      loaded_(executor), change_(executor)
{
    allowed_.on_forget = [this](const std::string& address) { changed_.insert(address); };
    if (settings_.map.empty())
        loading_ = Loading::done;
    else
        thread_ = std::make_unique<asio::thread_pool>(1);
}

Kept::~Kept()
{
    if (thread_)
        thread_->join();
}

Result<void> Kept::write(const std::string& map, const Batch& batch)
{
    const auto colon = map.find(':');
    TRY(const auto builder, tables::build(map.substr(0, colon), colon == map.npos ? "" : map.substr(colon + 1),
                                          {.incremental = true, .duplicate = tables::BuildOptions::Duplicate::replace, .mode = 0600}));
    for (const auto& [address, passed] : batch.values)
        builder->put(address, passed);
    for (const std::string& address : batch.erased)
        builder->erase(address);
    TRY_VOID(builder->commit());
    return {};
}

/// With a reader of its own: the tables of the loop are not for two threads.
Result<Kept::Entries> Kept::read(const std::string& map, const Clock& clock)
{
    TRY_VOID(write(map, {}));                     // makes it where it is not there
    tables::Tables tables(observe::Log{std::make_shared<observe::MemorySink>(), "postscreen"}, clock);
    Entries entries;
    TRY_VOID(tables.open(map, as_stored)->visit([&](std::string_view key, std::string_view value) {
        if (const auto passed = parse_passed(value); passed && net::IpAddress::parse(key))
            entries.emplace_back(key, *passed);
    }));
    return entries;
}

awaitable<void> Kept::load()
{
    while (loading_ == Loading::now && !co_await cancelled())
        co_await loaded_.wait();
    if (loading_ != Loading::not_yet)
        co_return;
    loading_ = Loading::now;
    take(co_await on_thread(*thread_, [map = settings_.map, &clock = clock_] { return read(map, clock); }));
    loaded_.notify_all();
}

void Kept::take(const Result<Entries>& entries)
{
    loading_ = Loading::done;
    if (!entries)
        return trouble(entries.error());
    for (const auto& [address, passed] : *entries) {
        const auto known = allowed_.find(address, clock_.wall());
        allowed_.put(address, known ? both(*known, passed) : passed, clock_.wall());
    }
}

awaitable<std::optional<Passed>> Kept::find(std::string address)
{
    co_await load();
    co_return allowed_.find(address, clock_.wall());
}

void Kept::put(const std::string& address, const Passed& passed)
{
    const auto known = allowed_.find(address, clock_.wall());
    const Passed made = known ? both(*known, passed) : passed;
    if (known && made == *known)
        return;
    allowed_.put(address, made, clock_.wall());
    changed_.insert(address);
    change_.notify_all();
}

std::shared_ptr<const Kept::Batch> Kept::batch()
{
    const auto made = std::make_shared<Batch>();
    if (settings_.map.empty())
        changed_.clear();
    for (const std::string& address : std::exchange(changed_, {})) {
        if (const auto known = allowed_.find(address, clock_.wall()))
            made->values.emplace(address, to_text(*known));
        else
            made->erased.push_back(address);
    }
    return made;
}

/// What could not be stored is tried again. What was forgotten meanwhile is not: else each newcomer that pushes one out were one more to be kept in mind.
void Kept::written(const Result<void>& result, const Batch& batch)
{
    in_trouble_ = in_trouble_ && !result;
    if (result)
        return;
    for (const auto& [address, passed] : batch.values)
        if (allowed_.find(address, clock_.wall()))
            changed_.insert(address);
    trouble(result.error());
}

void Kept::write_out()
{
    if (changed_.empty() || settings_.map.empty())
        return;
    if (loading_ == Loading::not_yet)  // told before anybody asked: the file may know more of the same client
        take(read(settings_.map, clock_));
    const auto last = batch();
    written(write(settings_.map, *last), *last);
}

void Kept::clean()
{
    const WallTime now = clock_.wall();
    if (settings_.cleanup.count() == 0 || now - cleaned_ < settings_.cleanup)
        return;
    cleaned_ = now;
    if (allowed_.size() == 0)
        return;
    const auto cleaned = allowed_.cleanup(now);
    log_.info("cache {} full cleanup: retained={} dropped={} entries", settings_.map.empty() ? "in memory" : settings_.map, cleaned.retained,
              cleaned.dropped);
}

awaitable<void> Kept::run()
{
    while (!co_await cancelled()) {
        if (changed_.empty() || in_trouble_)
            co_await change_.wait_for(look_interval);
        if (!changed_.empty()) {
            co_await sleep_for(write_interval);  // what comes within it is written with it
            co_await load();
            if (const auto next = batch(); !next->empty())
                written(co_await on_thread(*thread_, [map = settings_.map, next] { return write(map, *next); }), *next);
        }
        clean();
    }
}

void Kept::reconfigure(const Settings& settings)
{
    settings_.limit = settings.limit;
    settings_.retention = settings.retention;
    settings_.cleanup = settings.cleanup;
    allowed_.limit(settings.limit, settings.retention);
}

void Kept::trouble(const Error& error)
{
    if (!std::exchange(in_trouble_, true))
        log_.warning("postscreen_cache_map: {}; who passed the tests before the greeting is not stored", error.text());
}

}  // namespace posthorn::receive::screen
