#include "tables/key_value.hpp"

#include "base/strings.hpp"
#include "observe/asked.hpp"
#include "tables/question.hpp"
#include "tables/server.hpp"

#include <fmt/format.h>

#include <charconv>

namespace posthorn::tables {

namespace {

constexpr std::size_t redis_octets = 1 << 20, memcache_key = 250;

class KeyValueTable : public Table {
public:
    KeyValueTable(std::string spec, Flags flags, std::shared_ptr<const Question> question, std::shared_ptr<Server> server)
        : Table(std::move(spec)), flags_(flags), question_(std::move(question)), server_(std::move(server))
    {
    }
    bool in_memory() const final { return false; }
    Answer find(std::string_view) final { return Error{fmt::format("{}: only an answer that is waited for", name()), "4.3.5"}; }

protected:
    const Question& question() const { return *question_; }
    Server& server() { return *server_; }
    Flags flags() const { return flags_; }
    /// The key in the words of the server; only after question().about().
    std::string key_there(const std::string& key) const
    {
        return question_->query().expand(key, key, [](std::string_view piece) { return std::string(piece); }).value_or(key);
    }

private:
    Flags flags_;
    std::shared_ptr<const Question> question_;
    std::shared_ptr<Server> server_;
};

struct MemcacheSettings {
    std::uint64_t flags = 0, ttl = 3600, data = 10240, line = 1024, tries = 2, pause = 1;
    std::shared_ptr<Table> backup;
};

class MemcacheTable final : public KeyValueTable {
public:
    MemcacheTable(std::string spec, Flags flags, std::shared_ptr<const Question> question, std::shared_ptr<Server> server, MemcacheSettings settings)
        : KeyValueTable(std::move(spec), flags, std::move(question), std::move(server)), settings_(std::move(settings))
    {
    }
    awaitable<Answer> lookup(std::string key) override
    {
        CO_TRY(const auto asked, co_await question().about(std::move(key), flags()));
        if (!asked)
            co_return std::nullopt;
        const std::string there = key_there(*asked);
        const bool sayable =
            !there.empty() && there.size() <= memcache_key && std::ranges::none_of(there, [](char c) { return c <= 32 || c == 127; });
        Answer answer = std::nullopt;
        if (sayable)
            answer = co_await got(there);
        if (!settings_.backup || answer.value_or(std::nullopt))
            co_return answer;
        CO_TRY(auto kept, co_await settings_.backup->lookup(*asked));
        if (answer && sayable && kept && kept->size() <= settings_.data)
            (void)co_await say(fmt::format("set {} {} {} {}\r\n{}\r\n", there, settings_.flags, settings_.ttl, kept->size(), *kept),
                               [this](std::string_view octets) { return measure_memcache(octets, 0, settings_.line); });
        co_return kept;
    }

private:
    awaitable<Answer> got(std::string_view key)
    {
        observe::Question question(observe::Helper::table, name());
        Answer answer = co_await say(fmt::format("get {}\r\n", key),
                                     [this](std::string_view octets) { return measure_memcache(octets, settings_.data, settings_.line); });
        question.ended(answer.has_value());
        co_return answer;
    }
    awaitable<Answer> say(std::string words, Server::Measure measure)
    {
        for (std::uint64_t tried = 1;; ++tried) {
            auto reply = co_await server().ask(words, measure);
            if (reply)
                co_return memcache_answer(*reply);
            if (tried >= settings_.tries || reply.error().what().starts_with("connect to"))
                co_return std::move(reply).error();
            co_await sleep_for(std::chrono::seconds(settings_.pause));
        }
    }
    MemcacheSettings settings_;
};

class RedisTable final : public KeyValueTable {
public:
    RedisTable(std::string spec, Flags flags, std::shared_ptr<const Question> question, std::shared_ptr<Server> server, std::string hash)
        : KeyValueTable(std::move(spec), flags, std::move(question), std::move(server)), hash_(std::move(hash))
    {
    }
    static std::string command(std::initializer_list<std::string_view> words)
    {
        std::string text = fmt::format("*{}\r\n", words.size());
        for (const std::string_view word : words)
            text += fmt::format("${}\r\n{}\r\n", word.size(), word);
        return text;
    }
    static Result<std::size_t> measure(std::string_view octets) { return measure_redis(octets, redis_octets); }

    awaitable<Answer> lookup(std::string key) override
    {
        CO_TRY(const auto asked, co_await question().about(std::move(key), flags()));
        if (!asked)
            co_return std::nullopt;
        const std::string there = key_there(*asked);
        observe::Question open_question(observe::Helper::table, name());
        auto reply = co_await server().ask(hash_.empty() ? command({"GET", there}) : command({"HGET", hash_, there}), measure);
        auto judged = reply ? redis_answer(*reply) : Answer{std::move(reply).error()};
        open_question.ended(judged.has_value());
        CO_TRY(auto value, std::move(judged));
        if (!value)
            co_return std::nullopt;
        co_return question().answer({*std::move(value)}, *asked);
    }

private:
    std::string hash_;
};

}  // namespace

std::shared_ptr<Table> open_memcache(std::string spec, std::string name, Flags flags, Tables& tables)
{
    const auto open = [&]() -> Result<std::shared_ptr<Table>> {
        auto read = SourceConfig::read(name, tables.site());
        // Every parameter has a default, so a file that is not there is as good as an empty one.
        const SourceConfig config = read ? *std::move(read) : SourceConfig{};
        MemcacheSettings settings;
        TRY(settings.flags, config.number("flags", 0, 0, 0xffffffffU));
        TRY(settings.ttl, config.number("ttl", 3600, 0, 0x7fffffff));
        TRY(settings.data, config.number("data_size_limit", 10240, 1, 1 << 30));
        TRY(settings.line, config.number("line_size_limit", 1024, 64, 1 << 20));
        TRY(settings.tries, config.number("max_try", 2, 1, 100));
        TRY(settings.pause, config.number("retry_pause", 1, 1, 3600));
        TRY(const auto timeout, config.number("timeout", 2, 1, 3600));
        if (const std::string backup = config.text("backup"); !backup.empty())
            settings.backup = tables.open(backup, flags);
        TRY(auto question, Question::read(spec, config, "key_format", config.text("key_format", "%s"), tables));
        const std::chrono::seconds limit(timeout);
        TRY(auto server, Server::open(config.text("memcache", "inet:localhost:11211"),
                                      {.connect = limit, .answer = limit, .answer_octets = settings.data + settings.line + 64}));
        return std::make_shared<MemcacheTable>(spec, flags, std::move(question), std::move(server), std::move(settings));
    };
    auto table = open();
    return table ? std::move(*table) : broken_table(std::move(spec), std::move(table).error());
}

std::shared_ptr<Table> open_redis(std::string spec, std::string name, Flags flags, Tables& tables)
{
    const auto open = [&]() -> Result<std::shared_ptr<Table>> {
        TRY(const SourceConfig config, SourceConfig::read(name, tables.site()));
        TRY(const auto timeout, config.number("timeout", 2, 1, 3600));
        TRY(const auto database, config.number("database", 0, 0, 1'000'000));
        TRY(auto question, Question::read(spec, config, "key_format", config.text("key_format", "%s"), tables));
        const std::chrono::seconds limit(timeout);
        TRY(auto server,
            Server::open(config.text("server", "inet:localhost:6379"), {.connect = limit, .answer = limit, .answer_octets = redis_octets + 64}));
        std::string opening;
        std::size_t lines = 0;
        if (const std::string password = config.text("password"); !password.empty()) {
            const std::string user = config.text("username");
            opening += user.empty() ? RedisTable::command({"AUTH", password}) : RedisTable::command({"AUTH", user, password});
            ++lines;
        }
        if (database != 0) {
            opening += RedisTable::command({"SELECT", std::to_string(database)});
            ++lines;
        }
        if (lines != 0)
            server->set_opening({std::move(opening),
                                 [lines](std::string_view octets) -> Result<std::size_t> {
                                     std::size_t end = 0;
                                     for (std::size_t line = 0; line < lines; ++line) {
                                         const std::size_t at = octets.find("\r\n", end);
                                         if (at == octets.npos)
                                             return std::size_t{0};
                                         end = at + 2;
                                     }
                                     return end;
                                 },
                                 [](std::string_view answer) -> Result<void> {
                                     for (; !answer.empty(); answer.remove_prefix(line_of(answer).size() + 2))
                                         if (!answer.starts_with('+'))
                                             return Error{printable(line_of(answer), true), "4.3.0"};
                                     return {};
                                 }});
        return std::make_shared<RedisTable>(spec, flags, std::move(question), std::move(server), config.text("hash"));
    };
    auto table = open();
    return table ? std::move(*table) : broken_table(std::move(spec), std::move(table).error());
}

}  // namespace posthorn::tables
