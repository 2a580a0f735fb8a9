#include "tables/berkeley.hpp"

#include "base/module.hpp"
#include "tables/build_file.hpp"
#include "tables/indexed_file.hpp"

#include <db.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace posthorn::tables {

namespace {

struct BerkeleyLibrary {
    decltype(&::db_create) create;
    decltype(&::db_strerror) text;

    static Result<BerkeleyLibrary> open()
    {
        TRY(const Module module, Module::open(fmt::format("libdb-{}.{}.so", DB_VERSION_MAJOR, DB_VERSION_MINOR), "Berkeley DB: package libdb5.3"));
        BerkeleyLibrary library{};
        TRY_VOID(module.load(library.create, "db_create"));
        TRY_VOID(module.load(library.text, "db_strerror"));
        return library;
    }
};

Result<BerkeleyLibrary> library()
{
    static const Result<BerkeleyLibrary> opened = BerkeleyLibrary::open();
    return opened;
}

struct CloseDb {
    void operator()(DB* db) const { db->close(db, DB_NOSYNC); }
};
using Db = std::unique_ptr<DB, CloseDb>;

void quiet(const DB_ENV*, const char*, const char*) {}

/// `name` opened as `type`. DB_UNKNOWN: whatever it is.
Result<Db> open_db(const BerkeleyLibrary& library, const std::string& name, std::string_view shown, DBTYPE type, std::uint32_t flags, int mode = 0)
{
    DB* raw = nullptr;
    int code = library.create(&raw, nullptr, 0);
    Db db(code == 0 ? raw : nullptr);
    if (code == 0) {
        raw->set_errcall(raw, quiet);
        code = raw->open(raw, nullptr, name.c_str(), nullptr, type, flags, mode);
    }
    if (code != 0)
        return Error{fmt::format("open database {}: {}", shown, code > 0 ? errno_text(code) : library.text(code)), "4.3.0"};
    return db;
}

DBT dbt(std::string_view text)
{
    DBT value{};
    value.data = const_cast<char*>(text.data());
    value.size = static_cast<std::uint32_t>(text.size());
    return value;
}
std::string_view text_of(const DBT& value) { return {static_cast<const char*>(value.data), value.size}; }

/// flock() as long as it lives.
class Lock {
public:
    Lock(int fd, int kind) : fd_(::flock(fd, kind) == 0 ? fd : -1), why_(fd_ >= 0 ? 0 : errno) {}
    Lock(Lock&&) = delete;
    ~Lock()
    {
        if (fd_ >= 0)
            ::flock(fd_, LOCK_UN);
    }
    explicit operator bool() const { return fd_ >= 0; }
    std::string why() const { return why_ == EWOULDBLOCK ? "it is being written" : "lock: " + errno_text(why_); }

private:
    int fd_, why_;
};

template <DBTYPE type>
class BerkeleyReader {
public:
    static constexpr bool changes_in_place = false;

    static Result<std::unique_ptr<BerkeleyReader>> open(const std::string& path, FileOpener& opener)
    {
        auto reader = std::make_unique<BerkeleyReader>();
        TRY(reader->library_, library());
        TRY(Fd given, opener.open(path));
        // Of our own, where it can be had: a lock belongs to the open file, and a descriptor that was passed on shares that with others.
        Fd own{::open(name_of(given).c_str(), O_RDONLY | O_CLOEXEC)};
        reader->fd_ = own ? std::move(own) : std::move(given);
        reader->path_ = path;
        TRY_VOID(reader->load());
        return reader;
    }

    Answer find(std::string_view key)
    {
        const Lock lock(fd_.get(), LOCK_SH | LOCK_NB);
        TRY_VOID(follow(lock));
        const std::string with_nul = std::string(key) + '\0';
        for (const std::string_view form : {std::string_view{with_nul}, key}) {
            DBT wanted = dbt(form), value{};
            const int code = db_->get(db_.get(), nullptr, &wanted, &value, 0);
            if (code == 0)
                return std::string(without_nul(text_of(value)));
            if (code != DB_NOTFOUND)
                return failure(code);
        }
        return std::nullopt;
    }

    Result<void> visit(const std::function<void(std::string_view, std::string_view)>& each)
    {
        const Lock lock(fd_.get(), LOCK_SH | LOCK_NB);
        TRY_VOID(follow(lock));
        DBC* cursor = nullptr;
        int code = db_->cursor(db_.get(), nullptr, &cursor, 0);
        DBT key{}, value{};
        while (code == 0 && (code = cursor->get(cursor, &key, &value, DB_NEXT)) == 0)
            each(without_nul(text_of(key)), without_nul(text_of(value)));
        if (cursor != nullptr)
            cursor->close(cursor);
        if (code != DB_NOTFOUND)
            return failure(code);
        return {};
    }

private:
    Result<void> load()
    {
        stamp_ = stamp();
        db_.reset();
        auto opened = open_db(library_, name_of(fd_), path_, type, DB_RDONLY);
        if (!opened && !Fd{::open(name_of(fd_).c_str(), O_RDONLY | O_CLOEXEC)}) {
            // A file of root's, or outside of what a confined service sees, of which the broker gave us the descriptor: the library wants a
            // name, so it gets one of a copy.
            TRY(copy_, copy_in_memory(fd_.get()));
            opened = open_db(library_, name_of(copy_), path_, type, DB_RDONLY);
        }
        if (opened && !whole()) {
            db_.reset();
            return Error{fmt::format("open database {}: the file is truncated", path_), "4.3.0"};
        }
        TRY(db_, std::move(opened));
        return {};
    }
    /// Has the file the pages that its first one speaks of? Of a hash that was copied in part the library makes up empty ones, and finds nothing.
    bool whole() const
    {
        std::array<std::uint32_t, 9> meta{};  // LSN, page, magic, version, size of a page, flags, free, last page
        struct ::stat facts{};
        if (::pread(fd_.get(), meta.data(), sizeof meta, 0) != static_cast<::ssize_t>(sizeof meta) || ::fstat(fd_.get(), &facts) != 0)
            return false;
        const bool known = meta[3] == DB_HASHMAGIC || meta[3] == DB_BTREEMAGIC;  // else of the other byte order, or none that we read
        return !known || static_cast<std::uint64_t>(facts.st_size) >= (std::uint64_t{meta[8]} + 1) * meta[5];
    }
    /// What was changed in the file since it was opened may not fit what the library keeps of it in memory.
    Result<void> follow(const Lock& lock)
    {
        if (!lock)
            return Error{fmt::format("open database {}: {}", path_, lock.why()), "4.3.0"};
        if (!db_ || stamp() != stamp_)
            TRY_VOID(load());
        return {};
    }
    std::pair<std::int64_t, std::int64_t> stamp() const
    {
        struct ::stat facts{};
        (void)::fstat(fd_.get(), &facts);
        return {facts.st_size, facts.st_mtim.tv_sec * 1'000'000'000 + facts.st_mtim.tv_nsec};
    }
    Error failure(int code) const { return Error{fmt::format("{}: {}", path_, code > 0 ? errno_text(code) : library_.text(code)), "4.3.0"}; }

    static std::string name_of(const Fd& fd) { return fmt::format("/proc/self/fd/{}", fd.get()); }

    BerkeleyLibrary library_{};
    std::string path_;
    Fd fd_, copy_;
    std::pair<std::int64_t, std::int64_t> stamp_;
    Db db_;
};

class BerkeleyBuilder final : public GatheringBuilder {
public:
    BerkeleyBuilder(BerkeleyLibrary library, DBTYPE type, std::string path, const BuildOptions& options)
        : library_(library), type_(type), path_(std::move(path)), options_(options)
    {
    }

    /// A change of what is there is made in a copy: the library cannot take back half of one.
    Result<Done> commit() override
    {
        const Fd old{options_.incremental ? ::open(path_.c_str(), O_RDWR | O_CLOEXEC) : -1};
        if (options_.incremental && !old && errno != ENOENT)
            return system_error("open database " + path_, errno);
        if (!old)
            return replace_file(path_, options_, [this](const std::string& made, int) { return write(made, DB_CREATE | DB_TRUNCATE); });
        const Lock lock(old.get(), LOCK_EX);
        if (!lock)
            return system_error("lock " + path_, errno);
        struct ::stat facts{};
        if (::fstat(old.get(), &facts) != 0)
            return system_error("fstat " + path_, errno);
        BuildOptions same = options_;
        same.mode = facts.st_mode & 0777;
        same.owner = facts.st_uid;
        same.group = facts.st_gid;
        return replace_file(path_, same, [&](const std::string& made, int fd) -> Result<Done> {
            TRY(const std::string octets, read_all(old.get()));
            for (std::string_view rest = octets; !rest.empty();) {
                const ::ssize_t put = ::write(fd, rest.data(), rest.size());
                if (put < 0)
                    return system_error("write " + made, errno);
                rest.remove_prefix(static_cast<std::size_t>(put));
            }
            return write(made, 0);
        });
    }

private:
    Result<Done> write(const std::string& name, std::uint32_t flags) const
    {
        TRY(const Db db, open_db(library_, name, path_, type_, flags, 0600));
        Done done{.name = path_};
        for (const Change& change : changes())
            if (const int code = apply(*db, change, done); code != 0)
                return failure(code);
        if (const int code = db->sync(db.get(), 0); code != 0)
            return failure(code);
        return done;
    }

    int apply(DB& db, const Change& change, Done& done) const
    {
        const std::string key_nul = change.key + '\0', value_nul = change.value + '\0';
        if (change.erase) {
            bool erased = false;
            for (const std::string_view form : {std::string_view{key_nul}, std::string_view{change.key}}) {
                DBT key = dbt(form);
                const int code = db.del(&db, nullptr, &key, 0);
                if (code != 0 && code != DB_NOTFOUND)
                    return code;
                erased |= code == 0;
            }
            done.erased += erased ? 1 : 0;
            return 0;
        }
        const bool nul = options_.nul != BuildOptions::Nul::without;
        DBT key = dbt(nul ? key_nul : change.key), value = dbt(nul ? value_nul : change.value);
        const int code = db.put(&db, nullptr, &key, &value, options_.duplicate == BuildOptions::Duplicate::replace ? 0 : DB_NOOVERWRITE);
        if (code != DB_KEYEXIST)
            return code;
        if (options_.duplicate == BuildOptions::Duplicate::warn)
            done.duplicates.push_back(change.key);
        return 0;
    }

    Error failure(int code) const { return Error{fmt::format("write {}: {}", path_, code > 0 ? errno_text(code) : library_.text(code))}; }

    BerkeleyLibrary library_;
    DBTYPE type_;
    std::string path_;
    BuildOptions options_;
};

template <DBTYPE type>
std::shared_ptr<Table> open_table(std::string spec, const std::string& name, Flags flags, Tables& tables)
{
    return std::make_shared<IndexedFileTable<BerkeleyReader<type>>>(std::move(spec), name + ".db", flags, tables.site());
}

}  // namespace

void open_berkeley_library() { (void)library(); }

std::shared_ptr<Table> open_hash(std::string spec, std::string name, Flags flags, Tables& tables)
{
    return open_table<DB_HASH>(std::move(spec), name, flags, tables);
}

std::shared_ptr<Table> open_btree(std::string spec, std::string name, Flags flags, Tables& tables)
{
    return open_table<DB_BTREE>(std::move(spec), name, flags, tables);
}

Result<std::unique_ptr<Builder>> build_berkeley(std::string_view type, const std::string& name, const BuildOptions& options)
{
    TRY(const BerkeleyLibrary opened, library());
    return std::make_unique<BerkeleyBuilder>(opened, type == "hash" ? DB_HASH : DB_BTREE, name + ".db", options);
}

}  // namespace posthorn::tables
