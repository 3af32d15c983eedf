>>> mysql: write
select 1; delete from t
>>> mysql: =read
select '\'; delete from t; -- '
>>> mysql no_backslashes: write
select '\'; delete from t; -- '
>>> mysql: =read
select "\"; delete from t; -- "
>>> mysql ansi_quotes: write
select "\"; delete from t; -- "
>>> mysql: =read
select "; delete from t; --"
>>> mysql: write
select '"'; delete from t; -- "
>>> mysql: write
select 1 # ' ;
; delete from t
>>> mysql: write
select 1 #{0d}; x
; delete from t
>>> mysql: =read
select 1 #{0d}; delete from t
>>> mysql: =read
select 1 -- ; delete from t
>>> mysql: write
select 1 --1; delete from t
>>> mysql: =read
select 1 --{09}; delete from t
>>> mysql: write
select 1 /* /* */ ; delete from t
>>> mysql: unknown
select 1 /* /* */ ; delete from t */
>>> mysql: write
/*!50000 delete from t */
>>> mysql: write
/*! delete from t */
>>> mysql: write
/*!80000 delete from t */
>>> mysql: =nothing
/*!99999 delete from t */
>>> mysql version_unknown: unknown
/*!80000 delete from t */
>>> mariadb: =nothing
/*!80000 delete from t */
>>> mariadb: write
/*M!100100 delete from t */
>>> mysql: =nothing
/*M!100100 delete from t */
>>> mysql: write
select 1 /*!50000 from t for update */
>>> mysql: unknown
select 1 /*!50000 ; delete from t */
>>> mysql: unknown
select 1 /*!5000 from t */
>>> mysql: unknown
select 1 /*!50000union*/
>>> mysql: unknown
/*!99999 ' */ ' */ delete from t /* '*/
>>> mysql: unknown
/*!50000 select '*/' */
>>> mysql: unknown
/*!50000 select 1 -- */
>>> mysql: unknown
/*!50000 select /* */ 1 */
>>> mysql: unknown
/*!50000 select 1
>>> mysql: confinement
select /*+ SET_VAR(sql_mode='ANSI_QUOTES') */ 1
>>> mysql: confinement
select /*+ MAX_EXECUTION_TIME(100000) */ 1
>>> mysql: unknown
select 1.e(load_file('x'))
>>> mysql: unknown
select 1e1x from t
>>> mysql: =read
select 1e1 from 2fast
>>> mysql: unknown
select \N, 1; {5c}delete from t
>>> mysql: unknown
select{00} 1
>>> mysql gbk: unknown
select '{bf}{5c}'; delete from t -- '
>>> mysql: unknown
select '{bf}{5c}'; delete from t -- '
>>> mysql: unknown
set names gbk; select '\'; delete from t -- '
>>> mysql: unknown
set sql_mode = 'ANSI_QUOTES'; select "; delete from t; -- "
>>> mysql: unknown
set sql_mode = 'NO_BACKSLASH_ESCAPES'; select '\'; delete from t -- '
>>> mysql: write
select `a``;`, 1; delete from t
>>> mysql: write
select _utf8'\\'; delete from t
>>> mysql: write
select x'41', b'01', n'\''; delete from t
>>> mysql: unknown
select @'\'; delete from t; -- '
>>> mysql: write
select @`a;b`, @'c;d', @"e"; delete from t
>>> mysql: write
DELETE{0b}FROM{0c}t
>>> mysql: unknown
begin not atomic delete from t; end
>>> mariadb: unknown
if 1 then delete from t; end if
>>> mysql: unknown
{d '2020-01-01'}
