// pgsql: PostgreSQL by libpq, opened when a table names the type.      pgsql_table(5)
#include "tables/database.hpp"

#include "base/module.hpp"
#include "base/strings.hpp"

#include <fmt/format.h>

#include <poll.h>
#include <postgresql/libpq-fe.h>

#include <array>

namespace posthorn::tables {

namespace {

// clang-format off
#define POSTHORN_LIBPQ(X) \
    X(PQconnectdbParams) \
    X(PQfinish) \
    X(PQstatus) \
    X(PQerrorMessage) \
    X(PQsetClientEncoding) X(PQescapeStringConn) X(PQsendQuery) X(PQsocket) X(PQconsumeInput) X(PQisBusy) X(PQgetResult) X(PQresultStatus) \
        X(PQresultErrorMessage) X(PQclear) X(PQntuples) X(PQnfields) X(PQgetisnull) X(PQgetvalue) X(PQgetlength) X(PQsetnonblocking)
// clang-format on

struct PgsqlLibrary {
#define X(name) decltype(&::name) name;
    POSTHORN_LIBPQ(X)
#undef X
    static Result<PgsqlLibrary> open()
    {
        TRY(const Module module, Module::open("libpq.so.5", "PostgreSQL's client: package libpq5"));
        PgsqlLibrary library{};
#define X(name) \
    { \
        TRY_VOID(module.load(library.name, #name)); \
    }
        POSTHORN_LIBPQ(X)
#undef X
        return library;
    }
};

struct PgsqlSettings {
    PgsqlLibrary library{};
    std::string user, password, database, encoding;
    std::chrono::seconds limit{0};
};

std::string first_line(std::string_view text) { return std::string(text.substr(0, text.find('\n'))); }

class PgsqlConnection final : public Connection {
public:
    explicit PgsqlConnection(std::shared_ptr<const PgsqlSettings> settings) : settings_(std::move(settings)), pq_(settings_->library) {}
    ~PgsqlConnection() override
    {
        if (connection_ != nullptr)
            pq_.PQfinish(connection_);
    }

    static Result<std::unique_ptr<Connection>> open(const std::string& text, const std::shared_ptr<const PgsqlSettings>& settings)
    {
        auto made = std::make_unique<PgsqlConnection>(settings);
        const SqlServer server(text);
        const bool uri = text.starts_with("postgresql://") || text.starts_with("postgres://");
        const std::string limit = std::to_string(settings->limit.count());
        std::vector<const char*> names, values;
        const auto add = [&](const char* name, const std::string& value) {
            if (!value.empty()) {
                names.push_back(name);
                values.push_back(value.c_str());
            }
        };
        add("dbname", uri ? text : settings->database);
        if (!uri) {                                              // which says all of it, as in Postfix
            add("host", server.path.empty() ? server.host : server.path);
            add("port", server.port);
            add("user", settings->user);
            add("password", settings->password);
        }
        add("connect_timeout", limit);
        names.push_back(nullptr);
        values.push_back(nullptr);
        made->connection_ = made->pq_.PQconnectdbParams(names.data(), values.data(), 1);
        if (made->connection_ == nullptr || made->pq_.PQstatus(made->connection_) != CONNECTION_OK)
            return Error{made->connection_ == nullptr ? "out of memory" : first_line(made->pq_.PQerrorMessage(made->connection_))};
        if (made->pq_.PQsetClientEncoding(made->connection_, settings->encoding.c_str()) != 0)
            return Error{fmt::format("encoding {}: {}", settings->encoding, first_line(made->pq_.PQerrorMessage(made->connection_)))};
        return made;
    }

    Result<std::vector<std::string>> ask(const Template& query, std::string_view key) override
    {
        std::optional<Error> wrong;
        const auto sql = query.expand(key, key, [&](std::string_view text) {
            std::string quoted(2 * text.size() + 1, '\0');
            int error = 0;
            quoted.resize(pq_.PQescapeStringConn(connection_, quoted.data(), text.data(), text.size(), &error));
            if (error != 0)
                wrong = failure();
            return quoted;
        });
        if (wrong)
            return *wrong;
        if (!sql)
            return std::vector<std::string>{};                   // the key lacks what the query takes from it
        if (pq_.PQsendQuery(connection_, sql->c_str()) != 1)
            return lost();
        std::vector<std::string> values;
        for (const auto until = std::chrono::steady_clock::now() + settings_->limit;;) {
            while (pq_.PQisBusy(connection_) != 0)
                TRY_VOID(wait(until));
            const std::unique_ptr<PGresult, decltype(PgsqlLibrary::PQclear)> result(pq_.PQgetResult(connection_), pq_.PQclear);
            if (!result)
                break;
            const auto status = pq_.PQresultStatus(result.get());
            if (status == PGRES_TUPLES_OK)
                values = values_of(*result);
            else if (status != PGRES_COMMAND_OK)
                wrong = Error{first_line(pq_.PQresultErrorMessage(result.get()))};
        }
        if (pq_.PQstatus(connection_) != CONNECTION_OK)
            usable_ = false;
        if (wrong)
            return *wrong;
        return values;
    }
    bool usable() const override { return usable_; }

private:
    Error failure() const { return Error{first_line(pq_.PQerrorMessage(connection_))}; }
    Error lost()
    {
        usable_ = false;
        return failure();
    }
    Result<void> wait(SteadyTime until)
    {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        ::pollfd socket{pq_.PQsocket(connection_), POLLIN, 0};
        if (left.count() <= 0 || ::poll(&socket, 1, static_cast<int>(left.count())) == 0) {
            usable_ = false;
            return Error{fmt::format("no answer within {} s", settings_->limit.count())};
        }
        if (pq_.PQconsumeInput(connection_) != 1)
            return lost();
        return {};
    }
    std::vector<std::string> values_of(const PGresult& result) const
    {
        std::vector<std::string> values;
        for (int row = 0; row < pq_.PQntuples(&result); ++row)
            for (int column = 0; column < pq_.PQnfields(&result); ++column)
                if (pq_.PQgetisnull(&result, row, column) == 0)
                    values.emplace_back(pq_.PQgetvalue(&result, row, column), static_cast<std::size_t>(pq_.PQgetlength(&result, row, column)));
        return values;
    }

    std::shared_ptr<const PgsqlSettings> settings_;
    const PgsqlLibrary& pq_;
    PGconn* connection_ = nullptr;
    bool usable_ = true;
};

}  // namespace

std::shared_ptr<Table> open_pgsql(std::string spec, std::string name, Flags flags, Tables& tables)
{
    const auto open = [&]() -> Result<std::shared_ptr<Table>> {
        TRY(const SourceConfig config, SourceConfig::read(name, tables.site()));
        auto settings = std::make_shared<PgsqlSettings>();
        settings->user = config.text("user");
        settings->password = config.text("password");
        settings->encoding = config.text("encoding", "UTF8");
        TRY(settings->database, config.required("dbname"));
        TRY(const auto limit, config.number("timeout", 30, 1, 3600));
        settings->limit = std::chrono::seconds(limit);
        TRY(const auto rest, rest_of_sql(config));
        const std::string query = sql_query(config);
        if (query.empty())
            return config.wrong("query", "neither query nor select_function nor table, select_field and where_field are set");
        TRY(auto question, Question::read(spec, config, "query", query, tables));
        auto servers = sql_servers(config);
        static const Result<PgsqlLibrary> library = PgsqlLibrary::open();
        TRY(settings->library, Result<PgsqlLibrary>(library));
        return std::make_shared<DatabaseTable>(
            spec, flags, std::move(question), std::move(servers),
            [settings](const std::string& server) { return PgsqlConnection::open(server, settings); }, tables, rest);
    };
    auto table = open();
    return table ? std::move(*table) : broken_table(std::move(spec), std::move(table).error());
}

}  // namespace posthorn::tables
