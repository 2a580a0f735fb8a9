#include "tables/sockets.hpp"

#include "base/strings.hpp"
#include "observe/asked.hpp"
#include "tables/fixed.hpp"
#include "tables/params.hpp"
#include "tables/server.hpp"

#include <fmt/format.h>

#include <charconv>

namespace posthorn::tables {

namespace {

constexpr std::size_t tcp_line = 4096;

bool plain(char c) { return c > 32 && c < 127 && c != '%'; }

std::string percent_encoded(std::string_view text)
{
    std::string out;
    for (const char c : text)
        if (plain(c))
            out += c;
        else
            out += fmt::format("%{:02x}", static_cast<unsigned char>(c));
    return out;
}

class ServerTable : public Table {
public:
    ServerTable(std::string spec, Flags flags, std::shared_ptr<Server> server) : Table(std::move(spec)), flags_(flags), server_(std::move(server)) {}
    bool pattern() const final { return true; }
    bool in_memory() const final { return false; }
    Answer find(std::string_view) final { return Error{fmt::format("{}: only an answer that is waited for", name()), "4.3.5"}; }

protected:
    bool asked_about(std::string_view key) const { return !flags_.utf8 || is_ascii(key) || is_valid_utf8(key); }
    Flags flags_;
    std::shared_ptr<Server> server_;
};

class TcpTable final : public ServerTable {
public:
    using ServerTable::ServerTable;
    awaitable<Answer> lookup(std::string key) override
    {
        if (!asked_about(key))
            co_return std::nullopt;
        observe::Question question(observe::Helper::table, name());
        auto reply = co_await server_->ask(fmt::format("get {}\n", percent_encoded(key)), [](std::string_view octets) -> Result<std::size_t> {
            if (const std::size_t end = octets.find('\n'); end != octets.npos)
                return end + 1;
            if (octets.size() >= tcp_line)
                return Error{fmt::format("an answer of more than {} octets", tcp_line)};
            return std::size_t{0};
        });
        Answer answer = reply ? tcp_answer(*reply) : Answer{std::move(reply).error()};
        question.ended(answer.has_value());
        co_return answer;
    }
};

class SocketmapTable final : public ServerTable {
public:
    SocketmapTable(std::string spec, Flags flags, std::shared_ptr<Server> server, std::string map, std::size_t most_asked, std::size_t most_answered)
        : ServerTable(std::move(spec), flags, std::move(server)), map_(std::move(map)), most_asked_(most_asked), most_answered_(most_answered)
    {
    }
    awaitable<Answer> lookup(std::string key) override
    {
        if (!asked_about(key))
            co_return std::nullopt;
        const std::string question = fmt::format("{} {}", map_, key);     // as it is: only tables of fixed strings compare without case
        if (question.size() > most_asked_)
            co_return Error{fmt::format("a question of {} octets, more than {} (socketmap_max_query_size)", question.size(), most_asked_), "4.3.0"};
        observe::Question asked(observe::Helper::table, name());
        auto reply = co_await server_->ask(fmt::format("{}:{},", question.size(), question),
                                           [most = most_answered_](std::string_view octets) { return measure_netstring(octets, most); });
        Answer answer = reply ? socketmap_answer(*reply) : Answer{std::move(reply).error()};
        asked.ended(answer.has_value());
        co_return answer;
    }

private:
    std::string map_;
    std::size_t most_asked_, most_answered_;
};

/// Of main.cf, where it has one that the configuration's check lets pass.
std::size_t size_of(const config::Param<int>& param, const Site& site)
{
    const auto set = site.parameter ? site.parameter(std::string(param.name)) : std::nullopt;
    const auto number = parse_number(set.value_or(std::string(param.initial)));
    return static_cast<std::size_t>(number.value_or(1));
}

}  // namespace

std::shared_ptr<Table> open_tcp(std::string spec, std::string name, Flags flags, Tables&)
{
    auto server = Server::open(name, {.answer_octets = tcp_line});
    if (!server)
        return broken_table(std::move(spec), std::move(server).error());
    return std::make_shared<TcpTable>(std::move(spec), flags, std::move(*server));
}

std::shared_ptr<Table> open_socketmap(std::string spec, std::string name, Flags flags, Tables& tables)
{
    const std::size_t colon = name.rfind(':');
    if (colon == name.npos || colon == 0)
        return broken_table(std::move(spec), Error{"socketmap requires server:socketmap argument"});
    const std::size_t most_answered = size_of(socketmap_max_reply_size, tables.site());
    auto server = Server::open(std::string_view(name).substr(0, colon), {.answer_octets = most_answered + 16});
    if (!server)
        return broken_table(std::move(spec), std::move(server).error());
    return std::make_shared<SocketmapTable>(std::move(spec), flags, std::move(*server), name.substr(colon + 1),
                                            size_of(socketmap_max_query_size, tables.site()), most_answered);
}

}  // namespace posthorn::tables
