// tables/database.hpp: a table behind a client library that blocks: sqlite, pgsql, mysql, ldap.
// Threads   a question is one call on a helper thread of Tables; each connection serves one question at a time.
// Servers   in random order, those on Unix sockets before all others, an open connection first. One that fails is left alone for the Rest of its
//           kind, and the next is asked; the last one's words are the Error, when none answers or all rest. Of several, that one has failed is
//           logged, once until it answers. Connections that idle are closed.
// Errors    4.3.0. What the server says of a wrong query is an Error like any other: never "not there".
#pragma once

#include "tables/question.hpp"

#include <memory>
#include <mutex>

namespace posthorn::tables {

/// Of one server. On any thread, by one at a time.
class Connection {
public:
    Connection() = default;
    Connection(Connection&&) = delete;
    virtual ~Connection() = default;
    /// All values of all rows, without NULLs.
    virtual Result<std::vector<std::string>> ask(const Template& query, std::string_view key) = 0;
    /// False once the connection itself has failed.
    virtual bool usable() const = 0;
};

class DatabaseTable final : public Table {
public:
    using Connect = std::function<Result<std::unique_ptr<Connection>>(const std::string& server)>;

    /// How long at most a server is left alone that takes no connection, and one that takes it and fails, `least` at least: within these twenty times as
    /// long as it was waited for. A refusal costs nothing, and who comes back is asked again at once; one that is waited for holds a thread each time.
    /// idle: how long a connection is kept that nobody uses.
    struct Rest {
        std::chrono::seconds unreachable{60}, failing{60}, idle{60}, least{1};
    };

    DatabaseTable(std::string spec, Flags flags, std::shared_ptr<const Question> question, std::vector<std::string> servers, Connect connect,
                  Tables& tables, Rest rest);
    bool in_memory() const override { return false; }
    Answer find(std::string_view) override;
    awaitable<Answer> lookup(std::string key) override;

private:
    struct Place {
        std::string server;
        SteadyTime rests_until{};
        std::string trouble{};  // what it failed with
        bool told = false;  // and that this was logged, since it answered last
    };
    struct Kept {
        std::unique_ptr<Connection> connection;
        std::size_t place;
        SteadyTime since;
    };
    Answer ask_servers(const std::string& key);
    std::optional<Kept> take_kept();
    std::vector<std::size_t> awake();
    void failed(Place& place, SteadyTime since, std::chrono::seconds most, const std::string& trouble);
    Error all_rest();

    Flags flags_;
    std::shared_ptr<const Question> question_;
    Connect connect_;
    Tables& tables_;
    Rest rest_;
    std::string server_of_;
    std::mutex mutex_;  // of what follows
    std::vector<Place> places_;
    std::vector<Kept> kept_;
};

std::shared_ptr<Table> open_sqlite(std::string spec, std::string name, Flags flags, Tables& tables);
std::shared_ptr<Table> open_pgsql(std::string spec, std::string name, Flags flags, Tables& tables);
std::shared_ptr<Table> open_mysql(std::string spec, std::string name, Flags flags, Tables& tables);
std::shared_ptr<Table> open_ldap(std::string spec, std::string name, Flags flags, Tables& tables);

/// "query", or what select_function, or table, select_field, where_field and additional_conditions, make of one.
std::string sql_query(const SourceConfig& config);

/// What hosts says; localhost where it says nothing.
std::vector<std::string> sql_servers(const SourceConfig& config);

/// By retry_interval and idle_interval.
Result<DatabaseTable::Rest> rest_of_sql(const SourceConfig& config);

/// "host", "host:port", "inet:host:port", "unix:/path" of the sql sources.
struct SqlServer {
    explicit SqlServer(std::string_view text);
    std::string host, port, path;
};

}  // namespace posthorn::tables
