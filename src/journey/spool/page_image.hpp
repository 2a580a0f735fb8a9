// spool/page_image.hpp: SQLite's file format, read only, as far as salvage needs it.   https://www.sqlite.org/fileformat2.html
// Shape    pages are numbered from 1. A cell is one row: rowid (table trees) and its record. Values are integers, blobs, or NULL.
// Trust    none: every offset and length is checked against the page and the file.
#pragma once

#include "spool/file_ops.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

namespace posthorn::spool {

using Value = std::variant<std::monostate, std::int64_t, std::string>;

struct Cell {
    bool table = true;                     // false: of an index tree (tables WITHOUT ROWID)
    std::int64_t rowid = 0;
    std::vector<Value> values;
};

class PageImage {
public:
    /// The file's pages under the committed frames of its log. Unreadable pages count as lost.
    PageImage(FileOps& files, const std::string& database);

    /// Every row of a live page, in no order.
    void for_each_cell(const std::function<void(const Cell&)>& take);
    std::uint64_t lost_pages() const { return lost_; }

private:
    void read_log(FileOps& files, const std::string& name);
    bool page(std::uint32_t number, std::string& into);
    /// Type octet of the pointer map: 1 root, 2 free, 3 and 4 overflow, 5 tree; 0 unknown.
    int kind(std::uint32_t number);
    void read_free_list();
    bool payload(std::string_view page, std::size_t at, std::uint64_t size, bool table, std::string& into);
    static bool record(std::string_view payload, std::vector<Value>& values);
    void cells(std::uint32_t number, const std::string& page, const std::function<void(const Cell&)>& take);

    static constexpr std::size_t page_size = 4096;
    std::unique_ptr<File> file_, log_;
    std::uint32_t pages_ = 0;
    std::unordered_map<std::uint32_t, std::uint64_t> frames_;      // page -> offset of its newest committed image in the log
    std::unordered_map<std::uint32_t, bool> free_;
    std::string map_page_;
    std::uint32_t map_number_ = 0;
    std::uint64_t lost_ = 0;
};

}  // namespace posthorn::spool
