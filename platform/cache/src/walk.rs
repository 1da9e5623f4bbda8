//! One walk over serializable data, for two ends: a digest of a key, and an estimate of a value's bytes.
//!
//! Not `std::hash::Hash`: what that feeds a hasher may differ between compilers and machines, and
//! nodes of different builds must agree on keys.

use std::fmt;
use std::hash::Hasher;

use serde::ser::{self, Serialize};
use siphasher::sip128::{Hasher128, SipHasher13};

/// What is told of the data.
pub(crate) trait Sink {
    /// A number, a truth value, the choice of a variant.
    fn scalar(&mut self, bytes: &[u8]);
    /// Text or bytes of any length.
    fn text(&mut self, bytes: &[u8]);
    /// Something with parts begins.
    fn open(&mut self);
    /// And ends.
    fn close(&mut self);
}

/// Gathers a key. Injective: two different keys of one type never feed the same bytes.
#[derive(Clone)]
pub(crate) struct Digester(pub(crate) SipHasher13);

impl Digester {
    pub(crate) fn finish(&self) -> u128 {
        self.0.finish128().as_u128()
    }
}

impl Sink for Digester {
    fn scalar(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    fn text(&mut self, bytes: &[u8]) {
        self.0.write(&(bytes.len() as u64).to_le_bytes());
        self.0.write(bytes);
    }

    fn open(&mut self) {
        self.0.write(&[1]);
    }

    fn close(&mut self) {
        self.0.write(&[0]);
    }
}

/// Estimates what a value takes in memory beyond its own size, upwards: what the allocator and the
/// spare room of collections take is counted too.
#[derive(Default)]
pub(crate) struct Scale(pub(crate) usize);

impl Sink for Scale {
    fn scalar(&mut self, _: &[u8]) {
        self.0 += 16;
    }

    fn text(&mut self, bytes: &[u8]) {
        self.0 += 48 + bytes.len();
    }

    fn open(&mut self) {
        self.0 += 64;
    }

    fn close(&mut self) {}
}

#[derive(Debug)]
pub(crate) struct WalkError(String);

impl fmt::Display for WalkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WalkError {}

impl ser::Error for WalkError {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self(text.to_string())
    }
}

pub(crate) struct Walk<'a, S>(pub(crate) &'a mut S);

impl<S: Sink> Walk<'_, S> {
    fn again(&mut self) -> Walk<'_, S> {
        Walk(self.0)
    }

    fn one(self, bytes: &[u8]) -> Result<(), WalkError> {
        self.0.scalar(bytes);
        Ok(())
    }

    /// In parts, each of which is preceded by a 1 and the last followed by a 0.
    fn part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WalkError> {
        self.0.open();
        value.serialize(self.again())
    }

    fn finish(self) -> Result<(), WalkError> {
        self.0.close();
        Ok(())
    }
}

macro_rules! numbers {
    ($($name:ident: $type:ty),*) => {$(
        fn $name(self, value: $type) -> Result<(), WalkError> {
            self.one(&value.to_le_bytes())
        }
    )*};
}

impl<'a, S: Sink> ser::Serializer for Walk<'a, S> {
    type Ok = ();
    type Error = WalkError;
    type SerializeSeq = Walk<'a, S>;
    type SerializeTuple = Walk<'a, S>;
    type SerializeTupleStruct = Walk<'a, S>;
    type SerializeTupleVariant = Walk<'a, S>;
    type SerializeMap = Walk<'a, S>;
    type SerializeStruct = Walk<'a, S>;
    type SerializeStructVariant = Walk<'a, S>;

    numbers!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128,
        serialize_f32: f32, serialize_f64: f64
    );

    fn serialize_bool(self, value: bool) -> Result<(), WalkError> {
        self.one(&[u8::from(value)])
    }

    fn serialize_char(self, value: char) -> Result<(), WalkError> {
        self.one(&u32::from(value).to_le_bytes())
    }

    fn serialize_str(self, value: &str) -> Result<(), WalkError> {
        self.0.text(value.as_bytes());
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), WalkError> {
        self.0.text(value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), WalkError> {
        self.one(&[0])
    }

    fn serialize_some<T: Serialize + ?Sized>(mut self, value: &T) -> Result<(), WalkError> {
        self.again().one(&[1])?;
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), WalkError> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), WalkError> {
        Ok(())
    }

    // By name: the number changes when a variant is added in the middle.
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), WalkError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), WalkError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), WalkError> {
        self.again().serialize_str(variant)?;
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, WalkError> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, WalkError> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, WalkError> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self, WalkError> {
        self.again().serialize_str(variant)?;
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, WalkError> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, WalkError> {
        Ok(self)
    }

    fn serialize_struct_variant(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self, WalkError> {
        self.again().serialize_str(variant)?;
        Ok(self)
    }

    // Ids are 16 bytes then, not a text of 36.
    fn is_human_readable(&self) -> bool {
        false
    }
}

macro_rules! parts {
    ($($trait:ident :: $method:ident),*) => {$(
        impl<S: Sink> ser::$trait for Walk<'_, S> {
            type Ok = ();
            type Error = WalkError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WalkError> {
                self.part(value)
            }

            fn end(self) -> Result<(), WalkError> {
                self.finish()
            }
        }
    )*};
}
parts!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

macro_rules! named_parts {
    ($($trait:ident),*) => {$(
        impl<S: Sink> ser::$trait for Walk<'_, S> {
            type Ok = ();
            type Error = WalkError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), WalkError> {
                // With its name, because a field may be left out.
                self.part(name)?;
                value.serialize(self.again())
            }

            fn end(self) -> Result<(), WalkError> {
                self.finish()
            }
        }
    )*};
}
named_parts!(SerializeStruct, SerializeStructVariant);

impl<S: Sink> ser::SerializeMap for Walk<'_, S> {
    type Ok = ();
    type Error = WalkError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), WalkError> {
        self.part(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WalkError> {
        value.serialize(self.again())
    }

    fn end(self) -> Result<(), WalkError> {
        self.finish()
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    fn digest(key: &impl Serialize) -> u128 {
        let mut digester = Digester(SipHasher13::new_with_key(&[7; 16]));
        key.serialize(Walk(&mut digester)).unwrap();
        digester.finish()
    }

    #[test]
    fn different_keys_have_different_digests_and_equal_ones_the_same() {
        assert_eq!(digest(&("ab", 1_u8)), digest(&("ab".to_owned(), 1_u8)));
        assert_ne!(digest(&("ab", "c")), digest(&("a", "bc")));
        assert_ne!(digest(&vec!["a", ""]), digest(&vec!["a"]));
        assert_ne!(digest(&vec![vec![1_u8], vec![]]), digest(&vec![vec![1_u8]]));
        assert_ne!(digest(&vec![vec![], vec![1_u8]]), digest(&vec![vec![1_u8], vec![]]));
        assert_ne!(digest(&None::<u8>), digest(&Some(0_u8)));
        assert_ne!(digest(&(Some(1_u8), None::<u8>)), digest(&(None::<u8>, Some(1_u8))));
    }

    #[test]
    fn a_digest_is_the_same_in_every_build() {
        // What other nodes and older versions compute.
        assert_eq!(
            digest(&("product", 7_u64, Some("x"))),
            16_397_485_952_959_056_912_990_629_422_566_034_720
        );
    }
}
