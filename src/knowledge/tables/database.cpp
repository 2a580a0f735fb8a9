#include "tables/database.hpp"

#include "observe/asked.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <tuple>

namespace posthorn::tables {

DatabaseTable::DatabaseTable(std::string spec, Flags flags, std::shared_ptr<const Question> question, std::vector<std::string> servers,
                             Connect connect, Tables& tables, Rest rest)
    : Table(std::move(spec)), flags_(flags), question_(std::move(question)), connect_(std::move(connect)), tables_(tables), rest_(rest)
{
    for (std::string& server : servers)
        places_.push_back({std::move(server)});
    // "mysql server", as Postfix says; of a file its name says enough.
    if (const std::string kind = name().substr(0, name().find(':')); kind != "sqlite")
        server_of_ = kind + " server ";
}

Answer DatabaseTable::find(std::string_view) { return Error{fmt::format("{}: only an answer that is waited for", name()), "4.3.5"}; }

awaitable<Answer> DatabaseTable::lookup(std::string key)
{
    CO_TRY(const auto asked, co_await question_->about(std::move(key), flags_));
    if (!asked)
        co_return std::nullopt;
    observe::Question question(observe::Helper::table, name());
    Answer answer = co_await on_thread(tables_.helpers(), [this, wanted = *asked] { return ask_servers(wanted); });
    question.ended(answer.has_value());
    co_return answer;
}

std::optional<DatabaseTable::Kept> DatabaseTable::take_kept()
{
    const std::scoped_lock lock(mutex_);
    std::erase_if(kept_, [oldest = std::chrono::steady_clock::now() - rest_.idle](const Kept& kept) { return kept.since < oldest; });
    if (kept_.empty())
        return std::nullopt;
    auto taken = std::move(kept_.back());
    kept_.pop_back();
    return taken;
}

std::vector<std::size_t> DatabaseTable::awake()
{
    thread_local std::minstd_rand random{std::random_device{}()};
    const std::scoped_lock lock(mutex_);
    const SteadyTime now = std::chrono::steady_clock::now();
    std::vector<std::size_t> order;
    for (std::size_t at = 0; at < places_.size(); ++at)
        if (places_[at].rests_until <= now)
            order.push_back(at);
    std::ranges::shuffle(order, random);
    std::ranges::partition(order, [&](std::size_t at) { return places_[at].server.starts_with("unix:"); });
    return order;
}

Answer DatabaseTable::ask_servers(const std::string& key)
{
    std::optional<Error> last;
    // Whether it answered, and whether it can be asked again.
    const auto ask = [&](Kept use) -> std::pair<std::optional<Answer>, bool> {
        auto results = use.connection->ask(question_->query(), key);
        const bool usable = use.connection->usable();
        if (!results)
            last = Error{fmt::format("{}: {}", places_[use.place].server, results.error().what()), "4.3.0"};
        if (usable) {
            const std::scoped_lock lock(mutex_);
            use.since = std::chrono::steady_clock::now();
            places_[use.place].told = false;
            kept_.push_back(std::move(use));
        }
        return {results ? std::optional{question_->answer(*results, key)} : std::nullopt, usable};
    };
    // A connection that was lost while nobody used it says nothing about its server.
    for (bool lost = true; lost;) {
        auto kept = take_kept();
        if (!kept)
            break;
        auto [answer, usable] = ask(std::move(*kept));
        if (answer)
            return *std::move(answer);
        lost = !usable;
    }
    for (const std::size_t place : awake()) {
        const SteadyTime since = std::chrono::steady_clock::now();
        auto connection = connect_(places_[place].server);
        bool usable = false;
        if (connection) {
            std::optional<Answer> answer;
            std::tie(answer, usable) = ask(Kept{std::move(*connection), place, {}});
            if (answer)
                return *std::move(answer);
        } else {
            last = Error{fmt::format("connect to {}{}: {}", server_of_, places_[place].server, connection.error().what()), "4.3.0"};
        }
        // One that takes connections and does not answer is as good as none: each question would hold a thread for the whole limit.
        if (!usable)
            failed(places_[place], since, connection ? rest_.failing : rest_.unreachable, last.value_or(Error{"no answer", "4.3.0"}).what());
    }
    return last ? *std::move(last) : all_rest();
}

void DatabaseTable::failed(Place& place, SteadyTime since, std::chrono::seconds most, const std::string& trouble)
{
    const SteadyTime now = std::chrono::steady_clock::now();
    const std::scoped_lock lock(mutex_);
    place.rests_until = now + std::min<SteadyTime::duration>(most, std::max<SteadyTime::duration>(rest_.least, 20 * (now - since)));
    place.trouble = trouble;
    if (places_.size() > 1 && !std::exchange(place.told, true))          // where another one answers nobody else says so
        tables_.site().log.warning("{}", trouble);
}

Error DatabaseTable::all_rest()
{
    const std::scoped_lock lock(mutex_);
    const auto next = std::ranges::min_element(places_, {}, &Place::rests_until);
    const auto left = std::chrono::ceil<std::chrono::seconds>(next->rests_until - std::chrono::steady_clock::now());
    return Error{fmt::format("{} (asked again in {} s)", next->trouble, std::max(left.count(), std::chrono::seconds::rep{0})), "4.3.0"};
}

std::string sql_query(const SourceConfig& config)
{
    if (std::string query = config.text("query"); !query.empty())
        return query;
    if (const std::string function = config.text("select_function"); !function.empty())
        return fmt::format("SELECT {}('%s')", function);
    const std::string table = config.text("table"), field = config.text("select_field"), where = config.text("where_field");
    if (table.empty() || field.empty() || where.empty())
        return {};
    return fmt::format("SELECT {} FROM {} WHERE {} = '%s' {}", field, table, where, config.text("additional_conditions"));
}

std::vector<std::string> sql_servers(const SourceConfig& config)
{
    auto servers = config.words("hosts");
    if (servers.empty())
        servers.emplace_back("localhost");
    return servers;
}

Result<DatabaseTable::Rest> rest_of_sql(const SourceConfig& config)
{
    TRY(const auto retry, config.number("retry_interval", 60, 1, 86400));
    TRY(const auto idle, config.number("idle_interval", 60, 1, 86400));
    const std::chrono::seconds left_alone(retry);
    return DatabaseTable::Rest{.unreachable = left_alone, .failing = left_alone, .idle = std::chrono::seconds(idle)};
}

SqlServer::SqlServer(std::string_view text)
{
    if (text.starts_with("unix:")) {
        path = text.substr(5);
        return;
    }
    if (text.starts_with("inet:"))
        text.remove_prefix(5);
    const std::size_t end = text.starts_with('[') ? text.find(']') : std::string_view::npos;
    const std::size_t colon = text.find(':', end == text.npos ? 0 : end);
    host = text.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']'))
        host = host.substr(1, host.size() - 2);
    if (colon != text.npos)
        port = text.substr(colon + 1);
}

}  // namespace posthorn::tables
