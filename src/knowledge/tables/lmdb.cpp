#include "tables/lmdb.hpp"

#include "tables/indexed_file.hpp"

#include <fmt/format.h>

#include <lmdb.h>
#include <sys/stat.h>

namespace posthorn::tables {

namespace {

Error lmdb_error(std::string_view path, int code)
{
    return Error{fmt::format("open database {}: {}", path, code > 0 ? errno_text(code) : mdb_strerror(code)), "4.3.0"};
}

std::string_view text_of(const MDB_val& value) { return {static_cast<const char*>(value.mv_data), value.mv_size}; }

/// One opened file.
class LmdbReader {
public:
    static constexpr bool changes_in_place = true;

    static Result<std::unique_ptr<LmdbReader>> open(const std::string& path, FileOpener& opener)
    {
        auto reader = std::make_unique<LmdbReader>();
        TRY(Fd fd, opener.open(path));
        MDB_env* env = nullptr;
        if (const int code = mdb_env_create(&env); code != 0)
            return lmdb_error(path, code);
        reader->env_.reset(env);
        constexpr unsigned flags = MDB_RDONLY | MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS;
        int code = mdb_env_open(env, path.c_str(), flags, 0);
        if (code == EACCES || code == EPERM || code == ENOENT) {
            // A file of root's, of which the broker gave us the descriptor: LMDB wants a name, so it gets one of a copy.
            TRY(reader->copy_, copy_in_memory(fd.get()));
            reader->env_.reset();
            if (code = mdb_env_create(&env); code != 0)
                return lmdb_error(path, code);
            reader->env_.reset(env);
            code = mdb_env_open(env, fmt::format("/proc/self/fd/{}", reader->copy_.get()).c_str(), flags, 0);
        }
        if (code != 0)
            return lmdb_error(path, code);
        MDB_txn* txn = nullptr;
        if (code = reader->begin(&txn); code != 0)
            return lmdb_error(path, code);
        code = mdb_dbi_open(txn, nullptr, 0, &reader->dbi_);
        if (code != 0) {
            mdb_txn_abort(txn);
            return lmdb_error(path, code);
        }
        mdb_txn_commit(txn);                                     // keeps the handle
        MDB_stat stat{};
        mdb_env_stat(env, &stat);
        reader->page_ = stat.ms_psize;
        reader->path_ = path;
        if (!reader->whole())
            return reader->truncated();
        return reader;
    }
    LmdbReader() = default;
    LmdbReader(LmdbReader&&) = delete;
    ~LmdbReader()
    {
        if (txn_ != nullptr)
            mdb_txn_abort(txn_);
    }

    Answer find(std::string_view key)
    {
        // It is mapped: what another program cuts off from under us would end the process.
        if (!whole())
            return truncated();
        // What a commit frees, the second one after it writes over: what was read of a state older than that counts for nothing.
        for (int tries = 0; tries < 100; ++tries) {
            if (const int code = renew(); code != 0)
                return Error{mdb_strerror(code), "4.3.0"};
            auto answer = look(key);
            const bool overtaken = stale();
            mdb_txn_reset(txn_);
            if (!overtaken)
                return answer;
        }
        return changes_too_fast();
    }

    Result<void> visit(const std::function<void(std::string_view, std::string_view)>& each)
    {
        if (!whole())
            return truncated();
        if (const int code = renew(); code != 0)
            return Error{mdb_strerror(code), "4.3.0"};
        MDB_cursor* cursor = nullptr;
        int code = mdb_cursor_open(txn_, dbi_, &cursor);
        MDB_val key{}, value{};
        while (code == 0 && (code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
            each(without_nul(text_of(key)), without_nul(text_of(value)));
        if (cursor != nullptr)
            mdb_cursor_close(cursor);
        const bool overtaken = stale();
        mdb_txn_reset(txn_);
        if (overtaken)
            return changes_too_fast();
        if (code != MDB_NOTFOUND)
            return Error{mdb_strerror(code), "4.3.0"};
        return {};
    }

private:
    /// A writer may have made the file larger than our mapping.
    int begin(MDB_txn** txn)
    {
        int code = mdb_txn_begin(env_.get(), nullptr, MDB_RDONLY, txn);
        if (code == MDB_MAP_RESIZED && (code = mdb_env_set_mapsize(env_.get(), 0)) == 0)
            code = mdb_txn_begin(env_.get(), nullptr, MDB_RDONLY, txn);
        return code;
    }
    int renew()
    {
        if (txn_ != nullptr && mdb_txn_renew(txn_) == 0)
            return 0;
        if (txn_ != nullptr)
            mdb_txn_abort(std::exchange(txn_, nullptr));
        return begin(&txn_);
    }
    bool stale() const
    {
        MDB_envinfo info{};
        mdb_env_info(env_.get(), &info);
        return info.me_last_txnid - mdb_txn_id(txn_) >= 2;
    }
    static Error changes_too_fast() { return Error{"the file changes faster than it can be read", "4.3.0"}; }
    /// Has the file the pages that its header, its first two pages, speaks of? Its length is asked again after the header: a writer lets the
    /// file grow before it says so.
    bool whole() const
    {
        if (pages() < 2)
            return false;
        MDB_envinfo info{};
        mdb_env_info(env_.get(), &info);
        return pages() > info.me_last_pgno;
    }
    std::uint64_t pages() const
    {
        int fd = -1;
        struct ::stat status{};
        if (mdb_env_get_fd(env_.get(), &fd) != 0 || ::fstat(fd, &status) != 0)
            return 0;
        return static_cast<std::uint64_t>(status.st_size) / page_;
    }
    Error truncated() const { return Error{fmt::format("open database {}: the file is truncated", path_), "4.3.0"}; }
    Answer look(std::string_view key)
    {
        std::string with_nul(key);
        with_nul += '\0';
        for (const std::string_view form : {std::string_view{with_nul}, key}) {
            if (form.empty() || form.size() > static_cast<std::size_t>(mdb_env_get_maxkeysize(env_.get())))
                continue;
            MDB_val wanted{form.size(), const_cast<char*>(form.data())}, value{};
            const int code = mdb_get(txn_, dbi_, &wanted, &value);
            if (code == 0)
                return std::string(without_nul(text_of(value)));
            if (code != MDB_NOTFOUND)
                return Error{mdb_strerror(code), "4.3.0"};
        }
        return std::nullopt;
    }

    std::string path_;
    unsigned page_ = 0;                                          // octets
    Fd copy_;
    LmdbEnv env_;
    MDB_dbi dbi_ = 0;
    MDB_txn* txn_ = nullptr;
};

}  // namespace

void CloseLmdbEnv::operator()(MDB_env* env) const { mdb_env_close(env); }

std::shared_ptr<Table> open_lmdb(std::string spec, std::string name, Flags flags, Tables& tables)
{
    return std::make_shared<IndexedFileTable<LmdbReader>>(std::move(spec), name + ".lmdb", flags, tables.site());
}

}  // namespace posthorn::tables
