// sqlite: a database file, opened for reading only.      sqlite_table(5)
#include "tables/database.hpp"

#include <fmt/format.h>

#include <array>

#include <sqlite3.h>
#include <sys/stat.h>

namespace posthorn::tables {

namespace {

/// How long a question waits for one who writes.
constexpr int busy_milliseconds = 2000;

/// Has the file the pages that its header names? Of one that was copied in part the library reads zeros, and finds nothing. Asked of the
/// library's own file: closing another descriptor of it would give up the locks of all connections (fcntl(2)).
/// https://sqlite.org/fileformat.html 1.3
bool whole(sqlite3* db)
{
    std::array<unsigned char, 100> head{};
    sqlite3_file* file = nullptr;
    sqlite3_int64 octets = 0;
    if (::sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, static_cast<void*>(&file)) != SQLITE_OK || file == nullptr ||
        file->pMethods == nullptr || file->pMethods->xFileSize(file, &octets) != SQLITE_OK ||
        file->pMethods->xRead(file, head.data(), static_cast<int>(head.size()), 0) != SQLITE_OK)
        return true;                                             // empty, or not to be looked at: the library says what it thinks of it
    const auto number = [&](std::size_t at) {
        return std::uint32_t{head[at]} << 24 | std::uint32_t{head[at + 1]} << 16 | std::uint32_t{head[at + 2]} << 8 | head[at + 3];
    };
    const std::uint64_t page = head[16] == 0 && head[17] == 1 ? 65536U : std::uint32_t{head[16]} << 8 | head[17];
    const bool pages_known = number(24) == number(92);           // else an old library wrote last
    return std::string_view(reinterpret_cast<const char*>(head.data()), 15) != "SQLite format 3" || !pages_known ||
           static_cast<std::uint64_t>(octets) >= page * number(28);
}

class SqliteConnection final : public Connection {
public:
    static Result<std::unique_ptr<Connection>> open(const std::string& path)
    {
        auto made = std::make_unique<SqliteConnection>();
        made->path_ = path;
        made->file_ = FileId::of(path);                          // before it is opened: another one between the two is noticed
        sqlite3* raw = nullptr;
        const int code = ::sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nullptr);
        made->db_.reset(raw);
        if (code != SQLITE_OK)
            return Error{raw != nullptr ? ::sqlite3_errmsg(raw) : ::sqlite3_errstr(code)};
        ::sqlite3_busy_timeout(raw, busy_milliseconds);
        if (!whole(raw))
            return Error{"the file is shorter than it says it is"};
        return made;
    }

    Result<std::vector<std::string>> ask(const Template& query, std::string_view key) override
    {
        // A connection that is never idle would go on reading what another file has replaced. One that is gone may be on its way.
        if (const FileId now = FileId::of(path_); now.inode != 0 && now != file_) {
            usable_ = false;
            return Error{"the file was replaced"};
        }
        const auto sql = query.expand(key, key, [](std::string_view text) {
            std::string quoted;
            for (const char c : text)
                quoted.append(c == '\'' ? 2 : 1, c);
            return quoted;
        });
        if (!sql)
            return std::vector<std::string>{};                   // the key lacks what the query takes from it
        sqlite3_stmt* raw = nullptr;
        int code = ::sqlite3_prepare_v2(db_.get(), sql->c_str(), static_cast<int>(sql->size()), &raw, nullptr);
        const std::unique_ptr<sqlite3_stmt, decltype(&::sqlite3_finalize)> statement(raw, &::sqlite3_finalize);
        std::vector<std::string> values;
        while (code == SQLITE_OK || code == SQLITE_ROW) {
            code = ::sqlite3_step(raw);
            // The first column alone, as Postfix: of other databases all columns of a row count.
            if (code == SQLITE_ROW)
                if (const auto* const text = reinterpret_cast<const char*>(::sqlite3_column_text(raw, 0)))
                    values.emplace_back(text, static_cast<std::size_t>(::sqlite3_column_bytes(raw, 0)));
        }
        if (code != SQLITE_DONE) {
            usable_ = false;                                     // what is open may be of no use any more
            return Error{::sqlite3_errmsg(db_.get())};
        }
        return values;
    }
    bool usable() const override { return usable_; }

private:
    struct Close {
        void operator()(sqlite3* db) const { ::sqlite3_close_v2(db); }
    };
    struct FileId {
        static FileId of(const std::string& path)
        {
            struct ::stat facts{};
            return ::stat(path.c_str(), &facts) == 0 ? FileId{facts.st_dev, facts.st_ino} : FileId{};
        }
        bool operator==(const FileId&) const = default;
        ::dev_t device = 0;
        ::ino_t inode = 0;
    };
    std::string path_;
    FileId file_;
    std::unique_ptr<sqlite3, Close> db_;
    bool usable_ = true;
};

}  // namespace

std::shared_ptr<Table> open_sqlite(std::string spec, std::string name, Flags flags, Tables& tables)
{
    const auto open = [&]() -> Result<std::shared_ptr<Table>> {
        TRY(const SourceConfig config, SourceConfig::read(name, tables.site()));
        TRY(const std::string path, config.required("dbpath"));
        const std::string query = sql_query(config);
        if (query.empty())
            return config.wrong("query", "neither query nor table, select_field and where_field are set");
        TRY(auto question, Question::read(spec, config, "query", query, tables));
        return std::make_shared<DatabaseTable>(
            spec, flags, std::move(question), std::vector{path}, SqliteConnection::open, tables,
            DatabaseTable::Rest{.unreachable = std::chrono::seconds{0}, .failing = std::chrono::seconds{0}, .least = std::chrono::seconds{0}});
    };
    auto table = open();
    return table ? std::move(*table) : broken_table(std::move(spec), std::move(table).error());
}

}  // namespace posthorn::tables
