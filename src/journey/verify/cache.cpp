#include "verify/cache.hpp"

#include "tables/build.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

namespace posthorn::verify {

namespace {

constexpr tables::Flags as_given{.fold = false, .substitute = false, .utf8 = false};
constexpr std::size_t erased_at_once = 1000;

/// One process writes: there is nobody to share it with.
std::string_view without_proxy(std::string_view map)
{
    while (map.starts_with("proxy:"))
        map.remove_prefix(6);
    return map;
}

struct Scan {
    std::size_t retained = 0;
    std::vector<std::string> expired;
};

/// On the helper thread, with a reader of its own: the loop's is not for two threads.
Result<Scan> scan(const std::string& map, const Clock& clock, Rules rules)
{
    tables::Tables tables(observe::Log{std::make_shared<observe::MemorySink>(), "verify"}, clock);
    Scan found;
    const WallTime now = clock.wall();
    TRY_VOID(tables.open(map, as_given)->visit([&](std::string_view key, std::string_view value) {
        if (key == cleanup_key)
            return;
        const auto record = parse(value);
        if (record && !expired(*record, now, rules))
            ++found.retained;
        else
            found.expired.emplace_back(key);
    }));
    return found;
}

/// The youngest of what is put to it, in bounded room.
class Youngest {
public:
    explicit Youngest(std::size_t most) : most_(most) {}
    void put(std::string_view key, std::string_view value, WallTime now, const Rules& rules)
    {
        if (const auto record = parse(value))
            if (auto told = told_of(key, *record, now, rules))
                found_.push_back(*std::move(told));
        if (found_.size() >= 2 * most_)
            cut();
    }
    std::vector<Told> take()
    {
        cut();
        return std::move(found_);
    }

private:
    void cut()
    {
        if (found_.size() <= most_)
            return;
        std::ranges::nth_element(found_, found_.begin() + static_cast<std::ptrdiff_t>(most_), {}, &Told::age);
        found_.resize(most_, Told{});
    }

    std::size_t most_;
    std::vector<Told> found_;
};

}  // namespace

CacheReader::CacheReader(std::string map, const Clock& clock, observe::Log log) : tables_(std::move(log), clock)
{
    const std::string_view spec = without_proxy(map);
    if (spec.starts_with("lmdb:"))
        map_ = spec;
}

std::optional<Record> CacheReader::find(std::string_view address)
{
    if (!table_) {
        // Who writes it makes it, perhaps a moment after this process has begun: no error, until it is there.
        std::error_code trouble;
        if (map_.empty() || !std::filesystem::exists(map_.substr(map_.find(':') + 1) + ".lmdb", trouble))
            return std::nullopt;
        table_ = tables_.open(map_, as_given);
    }
    const auto found = table_->find(key_of(address));
    if (!found)
        return std::nullopt;
    const std::optional<std::string>& value = *found;
    return value ? parse(*value) : std::nullopt;
}

Cache::Cache(std::string map, const Clock& clock, observe::Log log)
    : map_(without_proxy(map)), clock_(clock), log_(std::move(log)), tables_(log_, clock)
{
    if (map_.empty())
        return;
    const auto colon = map_.find(':');
    type_ = map_.substr(0, colon);
    name_ = colon == map_.npos ? "" : map_.substr(colon + 1);
    writer_ = std::make_unique<asio::thread_pool>(1);
    if (const auto made = write(type_, name_, {}, {}); !made)
        log_.warning("address_verify_map: {}", made.error().text());
    table_ = tables_.open(map_, as_given);
}

Cache::~Cache()
{
    if (writer_)
        writer_->join();
}

Result<void> Cache::write(std::string type, std::string name, const Values& values, const std::vector<std::string>& erased)
{
    TRY(const auto builder, tables::build(type, name, {.incremental = true, .duplicate = tables::BuildOptions::Duplicate::replace, .mode = 0600}));
    for (const auto& [key, value] : values)
        builder->put(key, value);
    for (const std::string& key : erased)
        builder->erase(key);
    TRY_VOID(builder->commit());
    return {};
}

Result<std::optional<Record>> Cache::find(const std::string& key)
{
    for (const Values* values : {static_cast<const Values*>(&changed_), flushing_.get()})
        if (values != nullptr)
            if (const auto found = values->find(key); found != values->end())
                return parse(found->second);
    if (map_.empty())
        return std::optional<Record>{};
    TRY(const auto value, table_->find(key));
    return value ? parse(*value) : std::nullopt;
}

void Cache::put(const std::string& key, const Record& record)
{
    if (changed_.size() >= memory_limit && !changed_.contains(key))
        changed_.erase(changed_.begin());
    changed_.insert_or_assign(key, to_text(record));
}

awaitable<Result<void>> Cache::flush()
{
    if (!dirty() || flushing_)
        co_return Result<void>{};
    flushing_ = std::make_shared<const Values>(std::exchange(changed_, {}));
    auto written = co_await on_thread(*writer_, [type = type_, name = name_, values = flushing_] { return write(type, name, *values, {}); });
    if (!written)
        for (const auto& [key, value] : *flushing_)
            changed_.try_emplace(key, value);            // what came meanwhile is newer
    flushing_.reset();
    co_return written;
}

awaitable<Result<std::vector<Told>>> Cache::told(Rules rules, std::size_t most)
{
    const WallTime now = clock_.wall();
    Youngest found(most);
    for (const Values* values : {flushing_.get(), static_cast<const Values*>(&changed_)})
        if (values != nullptr)
            for (const auto& [key, value] : *values)
                found.put(key, value, now, rules);
    if (map_.empty())
        co_return found.take();
    co_return co_await on_thread(
        *writer_, [map = map_, &clock = clock_, rules, now, found = std::move(found)]() mutable -> Result<std::vector<Told>> {
            tables::Tables tables(observe::Log{std::make_shared<observe::MemorySink>(), "verify"}, clock);
            TRY_VOID(tables.open(map, as_given)->visit([&](std::string_view key, std::string_view value) { found.put(key, value, now, rules); }));
            return found.take();
        });
}

awaitable<Result<Cache::Cleaned>> Cache::cleanup(Rules rules)
{
    Cleaned cleaned;
    if (map_.empty()) {
        const WallTime now = clock_.wall();
        cleaned.dropped = std::erase_if(changed_, [&](const auto& entry) {
            const auto record = parse(entry.second);
            return !record || expired(*record, now, rules);
        });
        cleaned.retained = changed_.size();
        co_return cleaned;
    }
    CO_TRY(auto found, co_await on_thread(*writer_, [map = map_, &clock = clock_, rules] { return scan(map, clock, rules); }));
    cleaned.retained = found.retained;
    for (std::size_t at = 0; at < found.expired.size(); at += erased_at_once) {
        std::vector<std::string> some;
        for (std::size_t i = at; i < std::min(found.expired.size(), at + erased_at_once); ++i)
            if (!changed_.contains(found.expired[i]) && !(flushing_ && flushing_->contains(found.expired[i])))
                some.push_back(std::move(found.expired[i]));      // one that came back meanwhile stays
        cleaned.dropped += some.size();
        CO_TRY_VOID(co_await on_thread(*writer_, [type = type_, name = name_, some = std::move(some)] { return write(type, name, {}, some); }));
    }
    co_return cleaned;
}

}  // namespace posthorn::verify
