#include "tables/table.hpp"

#include "async/at_once.hpp"
#include "base/strings.hpp"
#include "tables/berkeley.hpp"
#include "tables/composed.hpp"
#include "tables/kinds.hpp"
#include "tables/lookups.hpp"
#include "tables/source_config.hpp"

#include <unicode/ucasemap.h>

#include <fmt/format.h>

#include <csignal>

namespace posthorn::tables {

namespace {

class BrokenTable final : public Table {
public:
    BrokenTable(std::string spec, Error reason) : Table(std::move(spec)), reason_(reason.what(), reason.status().empty() ? "4.3.0" : reason.status())
    {
    }
    Answer find(std::string_view) override { return reason_; }
    std::optional<Error> broken() override { return reason_; }

private:
    Error reason_;
};

/// "proxy:" asks another process in Postfix; here every table is opened by whoever asks, within the broker's powers.
std::string_view without_proxy(std::string_view spec)
{
    while (spec.starts_with("proxy:"))
        spec.remove_prefix(6);
    return spec;
}

}  // namespace

Result<void> Table::visit(const std::function<void(std::string_view, std::string_view)>&)
{
    return Error{fmt::format("table {}: sequence operation is not supported", name_)};
}

Result<std::vector<std::pair<std::string, std::string>>> Table::entries()
{
    std::vector<std::pair<std::string, std::string>> all;
    TRY_VOID(visit([&](std::string_view key, std::string_view value) { all.emplace_back(key, value); }));
    return all;
}

Tables::Tables(observe::Log log, const Clock& clock, std::shared_ptr<FileOpener> opener,
               std::function<std::optional<std::string>(const std::string& name)> parameter)
    : site_{std::move(log), clock, std::move(opener), std::move(parameter)}
{
    for (const Kind& kind : all_kinds())
        kinds_.emplace(kind.name, kind.open);
}

void Tables::add_kind(std::string type, Factory factory) { kinds_.insert_or_assign(std::move(type), std::move(factory)); }

asio::thread_pool& Tables::helpers()
{
    if (helpers_)
        return *helpers_;
    // Client libraries write into connections that are gone (GnuTLS ends a session so). Services ignore the signal; commands do not, which end by it
    // where nobody reads what they write. Threads begin with the mask of who starts them.
    ::sigset_t pipe, before;
    ::sigemptyset(&pipe);
    ::sigaddset(&pipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe, &before);
    helpers_ = std::make_unique<asio::thread_pool>(8);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return *helpers_;
}

std::shared_ptr<Table> Tables::open(std::string_view spec, Flags flags)
{
    const std::string full(without_proxy(spec));
    const auto key = std::pair{full, flags};
    if (const auto at = open_.find(key); at != open_.end())
        return at->second;
    const std::size_t colon = full.find(':');
    std::shared_ptr<Table> table;
    if (colon == 0 || colon == full.npos || colon + 1 == full.size()) {
        table = broken_table(full, Error{fmt::format("open dictionary: expecting \"type:name\" form instead of \"{}\"", full)});
    } else if (const auto kind = kinds_.find(std::string_view(full).substr(0, colon)); kind == kinds_.end()) {
        table = broken_table(full, Error{fmt::format("unsupported dictionary type: {}", full.substr(0, colon))});
    } else {
        table = kind->second(full, full.substr(colon + 1), flags, *this);
    }
    if (const auto reason = table->broken())
        site_.log.error("{}", reason->what());
    return open_.emplace(key, std::move(table)).first->second;
}

void Tables::forget_settings()
{
    const auto has_settings = [](const std::string& leaf) {
        return std::ranges::any_of(all_kinds(),
                                   [&](const Kind& kind) { return kind.parameters_in_main_cf && leaf.starts_with(std::string(kind.name) + ':'); });
    };
    std::erase_if(open_,
                  [&](const auto& entry) { return entry.second->broken() || std::ranges::any_of(leaves_of(entry.first.first), has_settings); });
}

std::shared_ptr<Table> broken_table(std::string spec, Error reason) { return std::make_shared<BrokenTable>(std::move(spec), std::move(reason)); }

std::vector<std::string_view> kinds()
{
    std::vector<std::string_view> names;
    for (const Kind& kind : all_kinds())
        names.push_back(kind.name);
    std::ranges::sort(names);
    return names;
}

std::vector<std::string> leaves_of(std::string_view spec)
{
    spec = without_proxy(spec);
    const auto members = members_of(spec);
    if (members.empty())
        return {std::string(spec)};
    std::vector<std::string> leaves;
    for (const std::string& member : members)
        std::ranges::move(leaves_of(member), std::back_inserter(leaves));
    return leaves;
}

std::vector<std::string> files_of(std::string_view spec)
{
    std::vector<std::string> files;
    for (const std::string& leaf : leaves_of(spec)) {
        const std::size_t colon = leaf.find(':');
        for (const Kind& kind : all_kinds()) {
            if (colon == leaf.npos || leaf.compare(0, colon, kind.name) != 0)
                continue;
            const std::string name = leaf.substr(colon + 1);
            if (kind.files)
                std::ranges::move(kind.files(name), std::back_inserter(files));
            else if (kind.file_suffix && !name.starts_with('{') && (*kind.file_suffix != '\0' || !kind.parameters_in_main_cf || is_source_file(name)))
                files.push_back(name + kind.file_suffix);
        }
    }
    return files;
}

void open_libraries(std::string_view spec)
{
    for (const std::string& leaf : leaves_of(spec))
        if (leaf.starts_with("hash:") || leaf.starts_with("btree:"))
            open_berkeley_library();
}

std::string fold_key(std::string_view key, bool utf8)
{
    if (!utf8 || is_ascii(key))
        return to_lower(key);
    UErrorCode status = U_ZERO_ERROR;
    static UCaseMap* const map = ucasemap_open("", U_FOLD_CASE_DEFAULT, &status);
    std::string folded(key.size() * 3 + 1, '\0');
    UErrorCode result = U_ZERO_ERROR;
    const int octets = ucasemap_utf8FoldCase(map, folded.data(), static_cast<int>(folded.size()), key.data(), static_cast<int>(key.size()), &result);
    if (map == nullptr || U_FAILURE(result))
        return to_lower(key);
    folded.resize(static_cast<std::size_t>(octets));
    return folded;
}

Answer Lookups::remembered(Table& table, std::string_view key)
{
    const auto [at, fresh] = known_.try_emplace(Key{&table, std::string(key)}, Error{"pending"});
    if (fresh)
        wanted_.push_back(at);
    return at->second;
}

awaitable<void> Lookups::fetch_one(std::size_t at)
{
    auto& [key, answer] = *wanted_[at];
    answer = co_await key.first->lookup(key.second);
}

awaitable<void> Lookups::fetch()
{
    for (const auto& wanted : wanted_)
        wanted->second = Error{"canceled", "4.3.0"};  // where that comes before the answer
    co_await at_once(wanted_.size(), fetched_at_once, [this](std::size_t at) { return fetch_one(at); });
    wanted_.clear();
}

}  // namespace posthorn::tables
