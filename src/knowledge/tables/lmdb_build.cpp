#include "tables/build_file.hpp"
#include "tables/lmdb.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <lmdb.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

namespace posthorn::tables {

namespace {

Error lmdb_error(std::string_view doing, std::string_view path, int code)
{
    return Error{fmt::format("{} {}: {}", doing, path, code > 0 ? errno_text(code) : mdb_strerror(code))};
}

class LmdbBuilder final : public GatheringBuilder {
public:
    LmdbBuilder(std::string path, const BuildOptions& options) : path_(std::move(path)), options_(options) {}

    Result<Done> commit() override
    {
        if (options_.incremental)
            return write(path_, MDB_NOSUBDIR | MDB_NOLOCK);
        return replace_file(path_, options_, [this](const std::string& made, int) { return write(made, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC); });
    }

private:
    Result<Done> write(const std::string& path, unsigned flags) const
    {
        for (std::uint64_t map_size = options_.map_size;; map_size *= 2) {
            int code = 0;
            auto done = write_within(path, flags, map_size, code);
            if (code != MDB_MAP_FULL || map_size >= (std::uint64_t{1} << 40))
                return done;
        }
    }

    Result<Done> write_within(const std::string& path, unsigned flags, std::uint64_t map_size, int& code) const
    {
        MDB_env* raw = nullptr;
        if ((code = mdb_env_create(&raw)) != 0)
            return lmdb_error("create", path, code);
        const LmdbEnv env(raw);
        struct ::stat status{};
        if (::stat(path.c_str(), &status) == 0)
            map_size = std::max<std::uint64_t>(map_size, static_cast<std::uint64_t>(status.st_size) * 2);
        if ((code = mdb_env_set_mapsize(raw, map_size)) != 0 || (code = mdb_env_open(raw, path.c_str(), flags, options_.mode)) != 0)
            return lmdb_error("open", path, code);
        int fd = -1;
        mdb_env_get_fd(raw, &fd);
        struct ::flock lock{};
        lock.l_type = F_WRLCK;
        while (::fcntl(fd, F_SETLKW, &lock) != 0)                // one writer at a time, Postfix's own among them
            if (errno != EINTR)
                return system_error("lock " + path, errno);
        MDB_txn* txn = nullptr;
        MDB_dbi dbi = 0;
        if ((code = mdb_txn_begin(raw, nullptr, 0, &txn)) != 0)
            return lmdb_error("write", path, code);
        Done done;
        if ((code = mdb_dbi_open(txn, nullptr, MDB_CREATE, &dbi)) == 0)
            for (const Change& change : changes())
                if ((code = apply(txn, dbi, change, done)) != 0)
                    break;
        if (code != 0) {
            mdb_txn_abort(txn);
            return lmdb_error("write", path, code);
        }
        if ((code = mdb_txn_commit(txn)) != 0)
            return lmdb_error("write", path, code);
        return done;
    }

    int apply(MDB_txn* txn, MDB_dbi dbi, const Change& change, Done& done) const
    {
        const auto value_of = [](const std::string& text, bool nul) { return MDB_val{text.size() + (nul ? 1 : 0), const_cast<char*>(text.c_str())}; };
        if (change.erase) {
            bool erased = false;
            for (const bool nul : {true, false}) {
                MDB_val key = value_of(change.key, nul);
                if (key.mv_size == 0)
                    continue;
                const int code = mdb_del(txn, dbi, &key, nullptr);
                if (code != 0 && code != MDB_NOTFOUND)
                    return code;
                erased |= code == 0;
            }
            done.erased += erased ? 1 : 0;
            return 0;
        }
        const bool nul = options_.nul != BuildOptions::Nul::without;
        MDB_val key = value_of(change.key, nul), value = value_of(change.value, nul);
        const int code = mdb_put(txn, dbi, &key, &value, options_.duplicate == BuildOptions::Duplicate::replace ? 0 : MDB_NOOVERWRITE);
        if (code != MDB_KEYEXIST)
            return code;
        if (options_.duplicate == BuildOptions::Duplicate::warn)
            done.duplicates.push_back(change.key);
        return 0;
    }

    std::string path_;
    BuildOptions options_;
};

}  // namespace

std::unique_ptr<Builder> build_lmdb(const std::string& name, const BuildOptions& options)
{
    return std::make_unique<LmdbBuilder>(name + ".lmdb", options);
}

}  // namespace posthorn::tables
