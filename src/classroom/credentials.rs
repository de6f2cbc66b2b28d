//! Names and passwords that a class can be given on paper.

use std::collections::HashSet;

use anyhow::bail;

/// Words of at most twelve small letters of ASCII that are easy to spell.
const ANIMALS_AND_PLANTS: &str = "\
    acorn alder ant apple apricot aster badger bamboo banana barley basil bat beaver bee beetle birch bison bluebell \
    boar bramble buffalo bumblebee buttercup butterfly cactus camel canary caribou carp carrot cat cedar cheetah cherry \
    chestnut chicken clover cobra coconut cod coral corn cow coyote crab crane cricket crocus crow cuckoo currant cypress \
    daffodil dahlia daisy dandelion date deer dingo dog dolphin donkey dove dragonfly duck eagle earthworm eel elder \
    elephant elk elm falcon fennel fern ferret fig finch firefly flamingo flounder fox foxglove frog gazelle gecko gerbil \
    ginger giraffe goat goldfish goose gorilla grape grasshopper guava gull hamster hare hawk hawthorn hazel heather \
    hedgehog heron herring hippo holly honeybee hornet horse hyacinth hyena ibex ibis iguana iris ivy jackal jaguar \
    jasmine jay jellyfish juniper kale kangaroo kestrel kingfisher kite kiwi koala ladybird lamb larch lark laurel \
    lavender leek lemming lemon lemur lentil leopard lettuce lilac lily lime linden lion lizard llama lobster locust lotus \
    lupin lynx magnolia magpie mallow mango mantis maple marigold marmot marten melon mink mint mole mongoose \
    moose moss moth mouse mulberry mule mushroom mussel mustard myrtle nettle newt nutmeg oak oat octopus okapi olive \
    onion orange orchid oregano osprey ostrich otter owl ox oyster palm panda pansy panther papaya parrot parsley peach \
    peacock pear pelican penguin peony pepper perch petunia pheasant pigeon pine plaice plum pony poplar poppy \
    porcupine potato primrose puffin puma pumpkin python quail quince rabbit raccoon radish raspberry raven reed reindeer \
    rhino rice robin rooster rose rosemary rowan rye saffron sage salamander salmon sardine scallop seahorse seal sequoia \
    shark sheep shrew shrimp skunk skylark sloth snail snowdrop sorrel sparrow spider spinach spruce squid \
    squirrel starfish starling stork strawberry sturgeon sunflower swallow swan sycamore tapir teak termite thistle \
    thrush thyme tiger toad tomato tortoise toucan trout tulip tuna turkey turnip turtle vanilla viola violet vole \
    walnut walrus warbler wasp weasel whale wheat willow wisteria wolf wombat woodpecker wren yak yarrow yew zebra";

/// What passwords begin with: without an `l`, which looks like a 1.
pub(super) const NOUNS: &str = "\
    acorn anchor apron arrow atom autumn badge bag baker band banjo barn basin basket beach bead beam bear bench berry \
    bird biscuit boat bonnet book boot bread breeze brick bridge broom brush bucket bus bush button cabin cake camera canoe \
    car carpet cart case chair cheese chess chin chimney circus coat coin comb comet cookie corn cousin \
    cream crown cup curtain desk diamond dice dinner doctor door dough dragon drawer dress drum dune earth easter echo \
    engine farm feather fence fire fish fog fork fort friend fruit garage garden gate ghost giant gift gown grain grass \
    guitar hammer harbour harp hat hay heart hen hero hiker honey hook horn house hut ice inch ink jacket jam jar \
    jeans jet judge jug juice keeper king kitchen knight knee moon morning mountain museum music nest net night north nose \
    number ocean organ oven page paint pan paper park parade party patch path paw pen piano picture pie pier pirate \
    pizza pocket poet pond porch postman prince prize puppet purse queen quarry quiz radar radio rain rainbow ranger ribbon \
    ring river road robot rocket roof room rope ruby runner sand satin sauce scarf schooner scooter season seat ship shirt shoe \
    shore singer skate sketch skin sky soap sock soup spark spoon spring stamp star station steam stone storm \
    street string sugar summer sun tea teacher tent theatre thumb thunder ticket timber toast toe tower town toy \
    track train tram tray tree truck trumpet tune van vase viking visitor wagon waiter water wave week west wharf \
    wind window winter wish wizard wood yacht yard year zoo";

/// What stands in the middle of passwords: without an `l`, too.
pub(super) const ADJECTIVES: &str = "\
    amber ancient arctic autumn average awake basic bent best better big bitter brave bright bronze brown busy \
    careful certain cheap chief common correct cosy crimson crisp curious current damp daring dark dear decent deep direct \
    distant dry eager early easy eastern elastic empty even exact extra fair famous fancy fast fat favourite fine firm first \
    fit fond foreign free fresh funny gentle giant glad golden good grand great green grey handsome happy hard heavy \
    high honest hot huge humble hungry icy instant inner junior just keen kind known large last late lazy left light little \
    lively local long loose loud lovely low loyal lucky magic main major many medium merry mighty mild modern modest narrow \
    native near neat new nice noisy northern odd open orange ordinary other outer patient perfect pink plain pleasant polite \
    poor pretty prime proper proud pure purple quick quiet rapid rare raw ready real red regular rich right ripe rosy rough round \
    royal safe scarlet secret senior serious shady sharp shiny short shy silent silver simple sincere slim slow small smart \
    smooth soft solid sour spare special spicy square stable steady steep stiff straight strange strict strong sudden sunny \
    super sweet swift tall tame tasty tender thick thin third tidy tiny tired top total tough tropical true urgent useful usual \
    vast violet warm weekly western wet white whole wide wild windy winter wise wooden yellow young zesty";

/// The digits of passwords: without 0 and 1, which look like letters.
const DIGITS: &[u8] = b"23456789";

/// How many students a class can have: as many as there are words, with some left for those who come later.
pub const MOST_STUDENTS: usize = 250;

/// A word that is none of `taken`, at random. It tells nobody who somebody is, and is a good login name and directory
/// name everywhere: at most 16 small letters of ASCII.
pub fn alias(taken: &HashSet<String>) -> anyhow::Result<String> {
    let free: Vec<&str> = ANIMALS_AND_PLANTS.split(' ').filter(|word| !taken.contains(*word)).collect();
    if free.is_empty() {
        bail!("all {} aliases were given away; make a new class directory", taken.len());
    }
    Ok(free[below(free.len())?].to_owned())
}

/// Passwords such as `river-quick-47`, all different.
#[derive(Debug)]
pub struct Passwords {
    nouns: Vec<&'static str>,
    adjectives: Vec<&'static str>,
    given: HashSet<String>,
}

impl Default for Passwords {
    fn default() -> Self {
        let readable = |words: &'static str| words.split(' ').filter(|word| !word.contains('l')).collect();
        Self { nouns: readable(NOUNS), adjectives: readable(ADJECTIVES), given: HashSet::new() }
    }
}

impl Passwords {
    /// Another one.
    pub fn make(&mut self) -> anyhow::Result<String> {
        loop {
            let (noun, adjective) =
                (self.nouns[below(self.nouns.len())?], self.adjectives[below(self.adjectives.len())?]);
            let [tens, ones] = [below(DIGITS.len())?, below(DIGITS.len())?].map(|place| char::from(DIGITS[place]));
            let password = format!("{noun}-{adjective}-{tens}{ones}");
            if self.given.insert(password.clone()) {
                return Ok(password);
            }
        }
    }
}

/// A number below `limit`, each as likely as the others.
fn below(limit: usize) -> anyhow::Result<usize> {
    let limit = limit as u64;
    // What is behind the last whole multiple would make the first numbers likelier.
    let end = u64::MAX - u64::MAX % limit;
    loop {
        let number = getrandom::u64()?;
        if number < end {
            return Ok((number % limit) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_short_plain_words_that_differ() {
        let words: Vec<&str> = ANIMALS_AND_PLANTS.split(' ').collect();
        let different: HashSet<&str> = words.iter().copied().collect();
        assert_eq!(different.len(), words.len());
        assert!(words.len() > MOST_STUDENTS + 50, "{}", words.len());
        for word in words {
            assert!(
                (2..=16).contains(&word.len()) && word.bytes().all(|letter| letter.is_ascii_lowercase()),
                "{word:?}"
            );
        }
    }

    #[test]
    fn every_alias_is_given_once() {
        let mut taken = HashSet::new();
        for _ in ANIMALS_AND_PLANTS.split(' ') {
            assert!(taken.insert(alias(&taken).unwrap()));
        }
        assert!(alias(&taken).is_err());
    }

    #[test]
    fn passwords_are_a_noun_an_adjective_and_two_digits_without_letters_that_look_alike() {
        let mut passwords = Passwords::default();
        for _ in 0..500 {
            let password = passwords.make().unwrap();
            let [noun, adjective, digits] = password.split('-').collect::<Vec<_>>()[..] else { panic!("{password}") };
            assert!([noun, adjective].iter().all(|word| word.bytes().all(|letter| letter.is_ascii_lowercase())));
            assert!(digits.len() == 2 && digits.parse::<u8>().is_ok());
            assert!(!password.contains(['l', '0', '1', 'I', 'O']), "{password}");
        }
        assert_eq!(passwords.given.len(), 500);
    }

    /// The README says so.
    #[test]
    fn there_are_more_than_two_million_passwords() {
        let passwords = Passwords::default();
        let count = passwords.nouns.len() * passwords.adjectives.len() * DIGITS.len() * DIGITS.len();
        assert!(count > 2_000_000, "{count}");
        for words in [passwords.nouns, passwords.adjectives] {
            assert_eq!(words.iter().collect::<HashSet<_>>().len(), words.len());
        }
    }
}
