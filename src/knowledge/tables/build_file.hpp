// tables/build_file.hpp: what the builders of database files share.
#pragma once

#include "tables/build.hpp"

#include <functional>

namespace posthorn::tables {

/// Calls `write` with the name and the descriptor of an empty file beside `path`; what it wrote takes the place of `path`, with the rights of
/// the options, once it is on the disk. After an Error nothing has changed.
Result<Builder::Done> replace_file(const std::string& path, const BuildOptions& options,
                                   const std::function<Result<Builder::Done>(const std::string& made, int fd)>& write);

/// Changes in the order in which they were asked for.
class GatheringBuilder : public Builder {
public:
    void put(std::string_view key, std::string_view value) final { changes_.push_back({std::string(key), std::string(value), false}); }
    void erase(std::string_view key) final { changes_.push_back({std::string(key), {}, true}); }

protected:
    struct Change {
        std::string key, value;
        bool erase;
    };
    const std::vector<Change>& changes() const { return changes_; }

private:
    std::vector<Change> changes_;
};

std::unique_ptr<Builder> build_lmdb(const std::string& name, const BuildOptions& options);
std::unique_ptr<Builder> build_cdb(const std::string& name, const BuildOptions& options);
/// "hash" or "btree". The Error says that the library is not there.
Result<std::unique_ptr<Builder>> build_berkeley(std::string_view type, const std::string& name, const BuildOptions& options);

}  // namespace posthorn::tables
