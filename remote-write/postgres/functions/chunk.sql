-- These read what remote-write/segments/chunk.ts writes: the format and its words are explained
-- there and in chunk-integers.ts. The loops are long because a call for each sample would cost more
-- than all they do.

create or replace function float8_of_bits(bits int8) returns float8
language plpgsql immutable strict parallel safe
as $$
declare
  exponent constant int4 := (bits >> 52) & 2047;
  fraction constant int8 := bits & 4503599627370495;
  sign constant float8 := case when bits < 0 then -1 else 1 end;
begin
  if exponent = 2047 then
    return case when fraction = 0 then sign * float8 'Infinity' else float8 'NaN' end;
  elsif exponent > 0 then
    return sign * (fraction + 4503599627370496) * power(float8 '2', exponent - 1075);
  end if;
  return sign * fraction * power(float8 '2', -1074);
end
$$;
comment on function float8_of_bits is
  'The float8 with these 64 bits (IEEE 754, as float8send gives them); any NaN becomes NaN.';

create or replace function chunk_residuals(
  bits bit varying, at int4, kind int4, gap_k int4, residual_k int4, samples int4
) returns int8[]
language plpgsql immutable parallel safe
as $$
declare
  ones_of constant bytea := decode(
    repeat('00', 128) || repeat('01', 64) || repeat('02', 32) || repeat('03', 16)
    || repeat('04', 8) || repeat('05', 4) || '06060708', 'hex');
  residuals int8[] := array_fill(0::int8, array[samples]);
  i int4 := 2;
  is_gap bool := kind = 1;
  k int4 := case kind when 1 then gap_k else residual_k end;
  block_end int4 := 2;
  head int8;
  ones int4;
  z int8;
begin
  while i <= samples and kind <> 0 loop
    if kind = 2 and i = block_end then
      block_end := block_end + 32;
      if substring(bits from at for 1) = B'1' then
        at := at + 1;
      else
        k := substring(bits from at + 1 for 5)::int4;
        at := at + 6;
      end if;
      if k = 31 then
        i := block_end;
        continue;
      end if;
    end if;
    head := substring(bits from at for 63)::int8;
    ones := get_byte(ones_of, (head >> 55)::int4);
    if ones < 8 then
      z := (ones::int8 << k) | ((head >> (62 - ones - k)) & ((1::int8 << k) - 1));
      at := at + ones + 1 + k;
    else
      ones := ((head >> 49) & 63)::int4;
      z := substring(bits from at + 14 for ones)::int8;
      at := at + 14 + ones;
    end if;
    if is_gap then
      i := least(i + z, samples + 1);
      is_gap := false;
      k := residual_k;
    else
      z := z + (kind & 1);
      residuals[i] := (z >> 1) # -(z & 1);
      i := i + 1;
      is_gap := kind = 1;
      k := case kind when 1 then gap_k else k end;
    end if;
  end loop;
  return residuals;
end
$$;
comment on function chunk_residuals is
  'The residuals of a column of a chunk, 0 for the first sample, from bit `at` on; there must be '
  '80 more bits behind the end.';

create or replace function chunk_xor_samples(
  bits bit varying, at int4, samples int4, from_ms int8, to_ms int8
) returns table ("time" timestamptz, value float8)
language plpgsql immutable parallel safe
as $$
declare
  ms int8 := 0;
  step int8 := 0;
  number int8;
  raw int8;
  head int4;
  size int4;
  zeros_left int4 := 0;
  zeros_right int4 := 0;
begin
  for i in 1 .. samples loop
    if i <= 2 then
      number := 0;
      size := 0;
      loop
        head := substring(bits from at for 8)::int4;
        at := at + 8;
        number := number | ((head & 127)::int8 << size);
        size := size + 7;
        exit when head < 128 or size > 63;
      end loop;
      if i = 1 then
        -- The lowest bit is the sign, and all 64 bits are used.
        ms := ((number >> 1) & 9223372036854775807) # -(number & 1);
        raw := substring(bits from at for 64)::int8;
        at := at + 64;
      else
        step := number;
        ms := ms + step;
      end if;
    else
      head := substring(bits from at for 4)::int4;
      if head < 8 then
        at := at + 1;
      else
        at := at + case when head < 12 then 2 when head < 14 then 3 else 4 end;
        size := case when head < 12 then 14 when head < 14 then 17 when head < 15 then 20 else 64
          end;
        number := substring(bits from at for size)::int8;
        at := at + size;
        if size < 64 and number > 1::int8 << (size - 1) then
          number := number - (1::int8 << size);
        end if;
        step := step + number;
      end if;
      ms := ms + step;
    end if;
    if i > 1 then
      head := substring(bits from at for 13)::int4;
      if head < 4096 then
        at := at + 1;
      else
        if head < 6144 then
          at := at + 2;
        else
          zeros_left := (head >> 6) & 31;
          zeros_right := 64 - zeros_left - coalesce(nullif(head & 63, 0), 64);
          at := at + 13;
        end if;
        size := 64 - zeros_left - zeros_right;
        raw := raw # (substring(bits from at for size)::int8 << zeros_right);
        at := at + size;
      end if;
    end if;
    exit when ms > to_ms;
    if ms >= from_ms then
      "time" := to_timestamp(ms / 1000.0::float8);
      value := float8_of_bits(raw);
      return next;
    end if;
  end loop;
  if at > length(bits) - 79 then
    raise data_corrupted using message = format('XOR chunk of %s samples: it ends early', samples);
  end if;
end
$$;
comment on function chunk_xor_samples is
  'The samples of a chunk whose encoding is XOR, from bit `at` on, behind their number; '
  'there must be 80 more bits behind the end.';

create or replace function chunk_samples(
  chunk bytea, from_time timestamptz, to_time timestamptz
) returns table ("time" timestamptz, value float8)
language plpgsql immutable parallel safe
as $$
declare
  -- Zeros behind the end, since more may be looked at than is there.
  bits constant bit varying := ('x' || encode(chunk, 'hex') || repeat('0', 20))::bit varying;
  from_ms constant int8 :=
    ceil(round(greatest(extract(epoch from from_time), -1e12) * 1e6)::int8 / 1000.0);
  to_ms constant int8 :=
    floor(round(least(extract(epoch from to_time), 1e12) * 1e6)::int8 / 1000.0);
  ones_of constant bytea := decode(
    repeat('00', 128) || repeat('01', 64) || repeat('02', 32) || repeat('03', 16)
    || repeat('04', 8) || repeat('05', 4) || '06060708', 'hex');
  encoding int4;
  at int4 := 9;
  header int8[] := '{}';
  number int8 := 0;
  size int4 := 0;
  head int8;
  samples int4;
  divisor float8;
  odd_places int4[] := '{}';
  odd_values float8[] := '{}';
  has_odd bool;

  time_residuals int8[];
  ms int8;
  time_level int8;
  time_step int8;
  time_shift int4;
  time_half int8 := 0;
  time_most int8 := -1;

  residuals int8[] := '{0}';
  whole int8;
  level int8;
  growing int8;
  shift int4;
  half int8 := 0;
  most int8 := -1;
  residual int8;
  actual int8;
  is_dense bool;
  block int4 := 2;
  k int4;
  ones int4;
  odd int4;
begin
  if chunk is null then return; end if;
  encoding := substring(bits from 1 for 8)::int4;
  -- Varints: of the XOR encoding the number of samples, of the other seven numbers.
  while cardinality(header) < case encoding when 0 then 1 when 1 then 7 else 0 end loop
    head := substring(bits from at for 8)::int4;
    at := at + 8;
    number := number | ((head & 127) << size);
    size := size + 7;
    if head < 128 then
      header := header || number;
      number := 0;
      size := 0;
    end if;
    exit when size > 63;
  end loop;
  samples := case when header[1] between 1 and 1000000 then header[1] end;
  if samples is null or at > length(bits) - 80 then
    raise data_corrupted using message = format(
      'chunk of %s bytes: encoding %s, %s samples, expected 0 or 1 and 1 to 1000000',
      length(chunk), encoding, header[1]);
  end if;
  if encoding = 0 then
    return query select x.time, x.value
      from chunk_xor_samples(bits, at, samples, from_ms, to_ms) x;
    return;
  end if;

  divisor := ('1e' || substring(bits from at for 4)::int4)::float8;
  at := at + 4;
  head := substring(bits from at for 46)::int8;
  at := at + 46;
  for n in 1 .. least(header[2], samples) loop
    odd_places := odd_places || substring(bits from at for 20)::int4 + 1;
    odd_values := odd_values || float8_of_bits(substring(bits from at + 20 for 64)::int8);
    at := at + 84;
  end loop;
  has_odd := cardinality(odd_places) > 0;

  time_step := (header[5] >> 1) # -(header[5] & 1);
  time_level := ((header[4] >> 1) # -(header[4] & 1)) - time_step;
  time_shift := ((head >> 38) & 31)::int4;
  if time_shift > 0 then
    time_half := 1::int8 << (time_shift - 1);
    time_most := (1::int8 << ((head >> 33) & 31)::int4) - 1;
  end if;
  time_residuals := chunk_residuals(
    bits, at, (head >> 44)::int4, ((head >> 28) & 31)::int4, ((head >> 23) & 31)::int4, samples);
  at := at + header[3]::int4;

  whole := (header[6] >> 1) # -(header[6] & 1);
  level := (header[7] >> 1) # -(header[7] & 1);
  growing := (head >> 20) & 1;
  shift := ((head >> 15) & 31)::int4;
  if shift > 0 then
    half := 1::int8 << (shift - 1);
    most := (1::int8 << ((head >> 10) & 31)::int4) - 1;
  end if;
  k := (head & 31)::int4;
  is_dense := (head >> 21) & 3 = 2;
  if not is_dense then
    residuals := chunk_residuals(
      bits, at, ((head >> 21) & 3)::int4, ((head >> 5) & 31)::int4, k, samples);
  end if;
  -- The first sample is then like the others, with a residual of 0.
  if growing = 1 then
    whole := whole - level;
  else
    level := whole;
  end if;

  for i in 1 .. samples loop
    time_level := time_level + time_step;
    residual := time_residuals[i];
    ms := time_level + residual;
    if residual <> 0 then
      time_level := case when residual between -time_most and time_most
        then time_level + ((residual + time_half) >> time_shift) else ms end;
    end if;
    exit when ms > to_ms;

    if is_dense and i > 1 then
      -- As in chunk_residuals, but no further than to_time.
      if i = block then
        block := block + 32;
        if substring(bits from at for 1) = B'1' then
          at := at + 1;
        else
          k := substring(bits from at + 1 for 5)::int4;
          at := at + 6;
        end if;
      end if;
      if k = 31 then
        residual := 0;
      else
        head := substring(bits from at for 63)::int8;
        ones := get_byte(ones_of, (head >> 55)::int4);
        if ones < 8 then
          number := (ones::int8 << k) | ((head >> (62 - ones - k)) & ((1::int8 << k) - 1));
          at := at + ones + 1 + k;
        else
          ones := ((head >> 49) & 63)::int4;
          number := substring(bits from at + 14 for ones)::int8;
          at := at + 14 + ones;
        end if;
        residual := (number >> 1) # -(number & 1);
      end if;
    else
      residual := residuals[i];
    end if;
    actual := level + residual;
    if residual between -most and most then
      level := level + ((residual + half) >> shift);
    else
      level := actual;
    end if;
    whole := actual + growing * whole;

    if ms >= from_ms then
      "time" := to_timestamp(ms / 1000.0::float8);
      value := whole / divisor;
      if has_odd then
        odd := array_position(odd_places, i);
        value := case when odd is null then value else odd_values[odd] end;
      end if;
      return next;
    end if;
  end loop;
  if at > length(bits) - 79 then
    raise data_corrupted using message = format('chunk of %s bytes: it ends early', length(chunk));
  end if;
end
$$;
comment on function chunk_samples is
  'The samples of a chunk (segments.chunk), which are in order of time, with from_time <= time <= '
  'to_time; null: no bound. Values are those received, to the bit; stale markers are NaN.';
