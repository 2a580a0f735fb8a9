// mysql: MySQL and MariaDB by MariaDB's client library, opened when a table names the type.      mysql_table(5)
#include "tables/database.hpp"

#include "base/module.hpp"
#include "base/strings.hpp"

#include <fmt/format.h>

#include <mariadb/errmsg.h>
#include <mariadb/mysql.h>

namespace posthorn::tables {

namespace {

// clang-format off
#define POSTHORN_LIBMARIADB(X) \
    X(mysql_server_init) \
    X(mysql_init) \
    X(mysql_close) \
    X(mysql_optionsv) \
    X(mysql_ssl_set) X(mysql_real_connect) X(mysql_error) X(mysql_errno) X(mysql_real_escape_string) X(mysql_real_query) X(mysql_store_result) \
        X(mysql_free_result) X(mysql_num_fields) X(mysql_fetch_row) X(mysql_fetch_lengths) X(mysql_more_results) X(mysql_next_result) \
            X(mysql_field_count)
// clang-format on

struct MysqlLibrary {
#define X(name) decltype(&::name) name;
    POSTHORN_LIBMARIADB(X)
#undef X
    static Result<MysqlLibrary> open()
    {
        TRY(const Module module, Module::open("libmariadb.so.3", "MariaDB's client: package libmariadb3"));
        MysqlLibrary library{};
#define X(name) \
    { \
        TRY_VOID(module.load(library.name, #name)); \
    }
        POSTHORN_LIBMARIADB(X)
#undef X
        library.mysql_server_init(0, nullptr, nullptr);          // before the first thread uses it
        return library;
    }
};

struct MysqlSettings {
    MysqlLibrary library{};
    std::string user, password, database, charset, option_file, option_group;
    std::string key, certificate, ca_file, ca_path, ciphers;
    bool tls = false, verify = false, result_required = true;
    unsigned limit = 30;                                         // seconds
};

class MysqlConnection final : public Connection {
public:
    explicit MysqlConnection(std::shared_ptr<const MysqlSettings> settings) : settings_(std::move(settings)), my_(settings_->library) {}
    ~MysqlConnection() override
    {
        if (connection_ != nullptr)
            my_.mysql_close(connection_);
    }

    static Result<std::unique_ptr<Connection>> open(const std::string& text, const std::shared_ptr<const MysqlSettings>& settings)
    {
        auto made = std::make_unique<MysqlConnection>(settings);
        TRY_VOID(made->connect(SqlServer(text)));
        return made;
    }

    Result<std::vector<std::string>> ask(const Template& query, std::string_view key) override
    {
        const auto sql = query.expand(key, key, [&](std::string_view text) {
            std::string quoted(2 * text.size() + 1, '\0');
            quoted.resize(my_.mysql_real_escape_string(connection_, quoted.data(), text.data(), text.size()));
            return quoted;
        });
        if (!sql)
            return std::vector<std::string>{};                   // the key lacks what the query takes from it
        if (my_.mysql_real_query(connection_, sql->data(), sql->size()) != 0)
            return failure();
        std::vector<std::string> values;
        bool results = false;
        // A stored procedure gives several results, the last of them only a status.
        for (int more = 0; more == 0; more = my_.mysql_next_result(connection_)) {
            const std::unique_ptr<MYSQL_RES, decltype(MysqlLibrary::mysql_free_result)> result(my_.mysql_store_result(connection_),
                                                                                               my_.mysql_free_result);
            if (result) {
                if (std::exchange(results, true)) {
                    usable_ = false;                             // more of them may follow
                    return Error{"multiple result sets returning data are not supported"};
                }
                add_values(*result, values);
            } else if (my_.mysql_field_count(connection_) != 0) {
                return failure();
            }
        }
        if (my_.mysql_errno(connection_) != 0)
            return failure();
        if (!results && settings_->result_required)
            return Error{"query returned no result set (require_result_set = yes)"};
        return values;
    }
    bool usable() const override { return usable_; }

private:
    Result<void> connect(const SqlServer& server)
    {
        connection_ = my_.mysql_init(nullptr);
        if (connection_ == nullptr)
            return Error{"out of memory"};
        const MysqlSettings& set = *settings_;
        for (const auto option : {MYSQL_OPT_CONNECT_TIMEOUT, MYSQL_OPT_READ_TIMEOUT, MYSQL_OPT_WRITE_TIMEOUT})
            my_.mysql_optionsv(connection_, option, &set.limit);
        my_.mysql_optionsv(connection_, MYSQL_SET_CHARSET_NAME, set.charset.c_str());
        if (!set.option_file.empty())
            my_.mysql_optionsv(connection_, MYSQL_READ_DEFAULT_FILE, set.option_file.c_str());
        if (!set.option_group.empty())
            my_.mysql_optionsv(connection_, MYSQL_READ_DEFAULT_GROUP, set.option_group.c_str());
        const auto given = [](const std::string& text) { return text.empty() ? nullptr : text.c_str(); };
        if (set.tls) {
            my_.mysql_ssl_set(connection_, given(set.key), given(set.certificate), given(set.ca_file), given(set.ca_path), given(set.ciphers));
            const my_bool verify = set.verify ? 1 : 0;
            my_.mysql_optionsv(connection_, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
        }
        unsigned port = 0;
        if (!server.port.empty()) {
            const auto number = parse_number(server.port);
            if (!number || *number == 0 || *number > 65535)
                return Error{fmt::format("\"{}\" is no port", printable(server.port))};
            port = static_cast<unsigned>(*number);
        }
        // Without a host the option file's is asked, and where it names none the local socket, which "localhost" means.
        const std::string host = server.host == "localhost" ? "" : server.host;
        if (my_.mysql_real_connect(connection_, given(host), given(set.user), given(set.password), given(set.database), port, given(server.path),
                                   CLIENT_MULTI_RESULTS) == nullptr)
            return Error{my_.mysql_error(connection_)};
        return {};
    }
    Error failure()
    {
        const unsigned code = my_.mysql_errno(connection_);
        usable_ = code < CR_MIN_ERROR || code > CR_MAX_ERROR;     // these are the client's own: the connection is in doubt
        return Error{my_.mysql_error(connection_)};
    }
    void add_values(MYSQL_RES& result, std::vector<std::string>& values) const
    {
        const unsigned columns = my_.mysql_num_fields(&result);
        while (char** const row = my_.mysql_fetch_row(&result)) {
            const unsigned long* const sizes = my_.mysql_fetch_lengths(&result);
            for (unsigned column = 0; column < columns; ++column)
                if (row[column] != nullptr)
                    values.emplace_back(row[column], sizes[column]);
        }
    }

    std::shared_ptr<const MysqlSettings> settings_;
    const MysqlLibrary& my_;
    MYSQL* connection_ = nullptr;
    bool usable_ = true;
};

}  // namespace

std::shared_ptr<Table> open_mysql(std::string spec, std::string name, Flags flags, Tables& tables)
{
    const auto open = [&]() -> Result<std::shared_ptr<Table>> {
        TRY(const SourceConfig config, SourceConfig::read(name, tables.site()));
        auto settings = std::make_shared<MysqlSettings>();
        settings->user = config.text("user");
        settings->password = config.text("password");
        settings->charset = config.text("charset", "utf8mb4");
        settings->option_file = config.text("option_file");
        settings->option_group = config.text("option_group", "client");  // without a file, of those that the library knows: /etc/mysql/my.cnf
        settings->key = config.text("tls_key_file");
        settings->certificate = config.text("tls_cert_file");
        settings->ca_file = config.text("tls_CAfile");
        settings->ca_path = config.text("tls_CApath");
        settings->ciphers = config.text("tls_ciphers");
        TRY(settings->verify, config.yes("tls_verify_cert", false));
        settings->tls = settings->verify || !settings->key.empty() || !settings->certificate.empty() || !settings->ca_file.empty() ||
                        !settings->ca_path.empty() || !settings->ciphers.empty();
        TRY(settings->result_required, config.yes("require_result_set", true));
        TRY(settings->database, config.required("dbname"));
        TRY(const auto limit, config.number("timeout", 30, 1, 3600));
        settings->limit = static_cast<unsigned>(limit);
        TRY(const auto rest, rest_of_sql(config));
        const std::string query = sql_query(config);
        if (query.empty())
            return config.wrong("query", "neither query nor table, select_field and where_field are set");
        TRY(auto question, Question::read(spec, config, "query", query, tables));
        auto servers = sql_servers(config);
        static const Result<MysqlLibrary> library = MysqlLibrary::open();
        TRY(settings->library, Result<MysqlLibrary>(library));
        return std::make_shared<DatabaseTable>(
            spec, flags, std::move(question), std::move(servers),
            [settings](const std::string& server) { return MysqlConnection::open(server, settings); }, tables, rest);
    };
    auto table = open();
    return table ? std::move(*table) : broken_table(std::move(spec), std::move(table).error());
}

}  // namespace posthorn::tables
