#include "spool/page_image.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

namespace posthorn::spool {

namespace {

std::uint32_t big_endian(std::string_view octets, std::size_t at, std::size_t width)
{
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < width; ++i)
        value = value << 8 | static_cast<unsigned char>(octets[at + i]);
    return value;
}

/// SQLite's varint: 7 bits an octet, the ninth has 8.
std::optional<std::uint64_t> varint(std::string_view octets, std::size_t& at)
{
    std::uint64_t value = 0;
    for (int i = 0; i < 9; ++i) {
        if (at >= octets.size())
            return {};
        const auto octet = static_cast<unsigned char>(octets[at++]);
        if (i == 8)
            return value << 8 | octet;
        value = value << 7 | (octet & 0x7F);
        if (!(octet & 0x80))
            return value;
    }
    return {};
}

/// The checksum of log frames: over pairs of 32-bit words, in the byte order that the log's magic number names.
void checksum(std::string_view octets, bool big, std::uint32_t& s0, std::uint32_t& s1)
{
    const auto word = [&](std::size_t at) {
        const std::uint32_t value = big_endian(octets, at, 4);
        return big ? value : __builtin_bswap32(value);
    };
    for (std::size_t at = 0; at + 8 <= octets.size(); at += 8) {
        s0 += word(at) + s1;
        s1 += word(at + 4) + s0;
    }
}

bool looks_like_tree(std::string_view page, std::size_t header)
{
    const auto type = static_cast<unsigned char>(page[header]);
    return type == 0x0D || type == 0x05 || type == 0x0A || type == 0x02;
}

constexpr std::uint64_t row_limit = 64 << 20;      // no row of ours is larger

}  // namespace

PageImage::PageImage(FileOps& files, const std::string& database)
{
    std::uint64_t size = 0;
    if (files.open(database, Open::read_only, file_) == 0 && file_->size(size) == 0)
        pages_ = static_cast<std::uint32_t>(size / page_size);
    read_log(files, database + "-wal");
    read_free_list();
}

void PageImage::read_log(FileOps& files, const std::string& name)
{
    std::uint64_t size = 0;
    std::string header(32, '\0');
    std::size_t got = 0;
    if (files.open(name, Open::read_only, log_) != 0 || log_->size(size) != 0 || log_->read(0, header, got) != 0 || got < header.size())
        return;
    const std::uint32_t magic = big_endian(header, 0, 4);
    if ((magic & ~1u) != 0x377F0682 || big_endian(header, 8, 4) != page_size)
        return;
    const bool big = magic & 1;
    std::uint32_t s0 = 0, s1 = 0;
    checksum(std::string_view(header).substr(0, 24), big, s0, s1);
    if (s0 != big_endian(header, 24, 4) || s1 != big_endian(header, 28, 4))
        return;
    std::unordered_map<std::uint32_t, std::uint64_t> open;         // of the transaction that has not committed yet
    std::string frame(24 + page_size, '\0');
    for (std::uint64_t at = 32; at + frame.size() <= size; at += frame.size()) {
        if (log_->read(at, frame, got) != 0 || got < frame.size() || frame.compare(8, 8, header, 16, 8) != 0)
            return;
        checksum(std::string_view(frame).substr(0, 8), big, s0, s1);
        checksum(std::string_view(frame).substr(24), big, s0, s1);
        if (s0 != big_endian(frame, 16, 4) || s1 != big_endian(frame, 20, 4))
            return;
        open[big_endian(frame, 0, 4)] = at + 24;
        if (const std::uint32_t pages = big_endian(frame, 4, 4)) {
            pages_ = pages;
            for (const auto& [page, offset] : open)
                frames_[page] = offset;
            open.clear();
        }
    }
}

bool PageImage::page(std::uint32_t number, std::string& into)
{
    into.resize(page_size);
    std::size_t got = 0;
    if (const auto frame = frames_.find(number); frame != frames_.end())
        return log_->read(frame->second, into, got) == 0 && got == page_size;
    return number >= 1 && file_ && file_->read((std::uint64_t{number} - 1) * page_size, into, got) == 0 && got == page_size;
}

int PageImage::kind(std::uint32_t number)
{
    // A map page stands before the page_size/5 pages it describes; the first is page 2.
    constexpr std::uint32_t entries = page_size / 5;
    if (number < 2)
        return 1;
    const std::uint32_t map = (number - 2) / (entries + 1) * (entries + 1) + 2;
    if (map == number)
        return 0;
    if (map != map_number_) {
        map_number_ = map;
        if (!page(map, map_page_))
            map_page_.assign(page_size, '\0');
    }
    return static_cast<unsigned char>(map_page_[std::size_t{number - map - 1} * 5]);
}

void PageImage::read_free_list()
{
    std::string trunk;
    if (!page(1, trunk))
        return;
    std::uint32_t next = big_endian(trunk, 32, 4);
    while (next != 0 && next <= pages_ && free_.emplace(next, true).second && page(next, trunk)) {
        next = big_endian(trunk, 0, 4);
        const std::uint32_t leaves = std::min<std::uint32_t>(big_endian(trunk, 4, 4), page_size / 4 - 2);
        for (std::uint32_t leaf = 0; leaf < leaves; ++leaf)
            free_.emplace(big_endian(trunk, 8 + std::size_t{leaf} * 4, 4), true);
    }
}

void PageImage::for_each_cell(const std::function<void(const Cell&)>& take)
{
    std::string octets;
    for (std::uint32_t number = 1; number <= pages_; ++number) {
        const int type = kind(number);
        const bool tree = type == 1 || type == 5;
        if (!tree && (type != 0 || free_.contains(number)))
            continue;                                              // free, overflow, or a map page
        if (!page(number, octets)) {
            ++lost_;
            continue;
        }
        const std::size_t header = number == 1 ? 100 : 0;
        if (!looks_like_tree(octets, header)) {
            lost_ += tree;
            continue;
        }
        cells(number, octets, take);
    }
}

void PageImage::cells(std::uint32_t number, const std::string& page, const std::function<void(const Cell&)>& take)
{
    const std::size_t header = number == 1 ? 100 : 0;
    const auto type = static_cast<unsigned char>(page[header]);
    if (type == 0x05)
        return;                                                    // inner page of a table: no rows
    const bool inner = type == 0x02, table = type == 0x0D;
    const std::size_t pointers = header + (inner ? 12 : 8), count = big_endian(page, header + 3, 2);
    if (pointers + count * 2 > page.size()) {
        ++lost_;
        return;
    }
    bool whole = true;
    Cell cell;
    std::string octets;
    for (std::size_t i = 0; i < count; ++i) {
        std::size_t at = big_endian(page, pointers + i * 2, 2) + (inner ? 4 : 0);
        const auto size = varint(page, at);
        const auto rowid = table ? varint(page, at) : std::optional<std::uint64_t>(0);
        cell = {table, rowid ? static_cast<std::int64_t>(*rowid) : 0, {}};
        if (size && rowid && *size <= row_limit && payload(page, at, *size, table, octets) && record(octets, cell.values))
            take(cell);
        else
            whole = false;
    }
    lost_ += !whole;
}

bool PageImage::payload(std::string_view page, std::size_t at, std::uint64_t size, bool table, std::string& into)
{
    constexpr std::uint64_t usable = page_size, least = (usable - 12) * 32 / 255 - 23;
    const std::uint64_t most = table ? usable - 35 : (usable - 12) * 64 / 255 - 23;
    std::uint64_t local = size;
    if (size > most) {
        local = least + (size - least) % (usable - 4);
        if (local > most)
            local = least;
    }
    if (at + local > page.size())
        return false;
    into.assign(page.substr(at, local));
    if (local == size)
        return true;
    if (at + local + 4 > page.size())
        return false;
    std::uint32_t next = big_endian(page, at + local, 4);
    std::string overflow;
    while (into.size() < size) {
        if (next < 2 || next > pages_ || !this->page(next, overflow))
            return false;
        into.append(overflow, 4, std::min<std::uint64_t>(size - into.size(), usable - 4));
        next = big_endian(overflow, 0, 4);
    }
    return true;
}

bool PageImage::record(std::string_view payload, std::vector<Value>& values)
{
    std::size_t at = 0;
    const auto header = varint(payload, at);
    if (!header || *header > payload.size())
        return false;
    std::size_t body = *header;
    while (at < *header) {
        const auto type = varint(payload, at);
        if (!type)
            return false;
        constexpr std::size_t widths[] = {0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0};
        const std::uint64_t width = *type < 12 ? widths[*type] : (*type - 12) / 2;
        if (width > payload.size() - body)
            return false;
        if (*type == 0 || *type == 7 || *type == 10 || *type == 11) {
            values.emplace_back();
        } else if (*type == 8 || *type == 9) {
            values.emplace_back(static_cast<std::int64_t>(*type - 8));
        } else if (*type < 7) {
            std::int64_t value = static_cast<signed char>(payload[body]) < 0 ? -1 : 0;
            for (std::uint64_t i = 0; i < width; ++i)
                value = static_cast<std::int64_t>(static_cast<std::uint64_t>(value) << 8 | static_cast<unsigned char>(payload[body + i]));
            values.emplace_back(value);
        } else {
            values.emplace_back(std::string(payload.substr(body, width)));
        }
        body += width;
    }
    return true;
}

}  // namespace posthorn::spool
