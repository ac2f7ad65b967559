/** What the demo agent understands and says, and an example of how to write a grammar. Data only. */
import type { GrammarInput } from './grammar.js';

/**
 * A single digit is the shortest thing to say and the easiest to miss, so it goes before everything else in doubt. Whole sentences are so
 * distinct that this costs them nothing.
 */
const short = 0.01;
const long = 1e-8;

export const demoGrammar: GrammarInput = {
  slots: {
    number: { type: 'number', max: 999 },
    first: { type: 'number', max: 999 },
    second: { type: 'number', max: 999 },
    digits: { type: 'digits', min: 2, max: 20 },
    operator: { type: 'choice', values: ['plus', 'minus', 'times', 'multiplied by', 'divided by'] },
    // Recognised when typed. By ear most letters are lost between "three" and "eight": docs/decisions/embedded-recognition.md
    letters: { type: 'letters', min: 1, max: 20 },
  },
  intents: [
    {
      name: 'sum',
      weight: long,
      phrases: ["[what is | what's | how much is] {first} {operator} {second}"],
      typed: ['(calculate | compute) {first} {operator} {second}'],
      replies: ['{first} {operator} {second} is {result}.'],
    },
    {
      name: 'number',
      phrases: ['{number}'],
      typed: ['(the | my) number [is] {number}'],
      replies: ['I heard the number {number}.'],
    },
    {
      name: 'digits',
      weight: long,
      phrases: ['{digits}'],
      typed: ['(the | my) number is {digits}'],
      replies: ['I heard {digits}.'],
    },
    { name: 'letters', typed: ['{letters}', '(the | my) letters are {letters}'], replies: ['I read the letters {letters}.'] },
    {
      name: 'time',

      weight: long,
      phrases: ['what time is it', 'what is the time', "what's the time", 'tell me the time'],
      typed: ['(do you have | have you got) the time', 'time', 'whats the time'],
      replies: ['It is {time}.'],
    },
    {
      name: 'date',

      weight: long,
      phrases: ['what day is it [today]', "(what is | what's) the date [today]"],
      typed: ['date', 'what is today', 'whats the date', "what's today's date", 'what is todays date'],
      replies: ['Today is {date}.'],
    },
    {
      name: 'yes',

      weight: short,
      phrases: ['yes', 'yeah'],
      typed: ['yep', 'yup', 'sure', 'ok', 'okay', 'of course', 'that is right', 'correct', 'yes yes'],
      replies: ['I heard yes. What would you like to do next?', 'Yes it is. What shall we try now?'],
    },
    {
      name: 'no',

      weight: short,
      phrases: ['no'],
      typed: ['nope', 'nah', 'no no', 'no thanks', 'no thank you', 'not now', 'not really'],
      replies: ['I heard no. That is fine. What else can I do?', 'All right, no it is. Ask me something else.'],
    },
    {
      name: 'story',

      weight: long,
      phrases: ['tell me (a | another) story'],
      typed: ['[tell | read] [me] (a | another | one more) story', 'story'],
      replies: [
        'Once there was a lighthouse keeper called Mara, who lived on an island so small that her garden had room for exactly four cabbages. Every evening she climbed one hundred and twelve steps to light the lamp, and every evening she counted them aloud, because the stairs were lonely and liked to be spoken to. One night, in the thickest fog of the year, the lamp would not light. Mara tried matches, and a spark, and a few words her mother had not taught her. Nothing helped. Out in the fog she heard a ship, and its bell was coming closer. So Mara did the only thing she could think of. She ran to the window and began to count, as loudly as she could. One. Two. Three. The stairs, which knew the numbers by heart, joined in, each step in its own deep voice of stone. Thirty. Forty. Fifty. The whole tower sang. Out at sea the captain tilted his head. He could not see a thing, but he could hear where the rocks were, and he turned the wheel. At one hundred and twelve the fog was silent again, and the bell was far away. In the morning Mara found the fault. A small spider had built her web across the wick. Mara carried her down to the cabbages, counting every step. Since then, the people say, ships greet that island with one hundred and twelve strokes of the bell, and somewhere in the garden a spider keeps count.',
        'There was once a clockmaker named Tobias, whose clocks were famous for being wrong. One of them ran fast on Mondays. Another stopped whenever somebody laughed. People bought them anyway, because Tobias would tell them what each clock was good for. The fast one, he said, is for those who would like Monday to be over. The one that stops is for a house where nobody should be hurried while they are happy. One day a very serious man came into the shop and asked for a clock that was always right. Tobias searched every shelf. At last he came back with a plain wooden box that had no hands at all. When you open it, he said, it says now. The man opened it, and indeed a tiny card inside said now. He looked at it for a long time. That is always right, he admitted, but what is it good for. I have never sold one, said Tobias, so I do not know. You would have to tell me. The serious man bought it, and went home, and for a year nobody heard of him. Then one evening he came back, without his hat, and his shoes were wet from the long way through the meadows. I know now what it is good for, he said. It is never late. And he sat down beside the stove, and the two of them listened to all the other clocks, every one of them wrong, and every one of them at its own pleasant time.',
      ],
    },
    {
      name: 'stop',

      weight: long,
      phrases: ['[please] stop', 'stop talking', 'be quiet'],
      typed: ['stop it', 'stop that', 'enough', "that's enough", 'that is enough', 'quiet', 'hush', 'shut up', 'cancel'],
      replies: ['All right, I am quiet.', 'Stopped. I am listening.'],
    },
    {
      name: 'repeat',

      weight: long,
      phrases: ['repeat that', 'say that again', 'what did you say'],
      typed: [
        'repeat',
        'again',
        '[i beg your] pardon',
        'can you [repeat | say] that again',
        'can you repeat that',
        'what',
        'come again',
        'one more time',
      ],
      replies: ['{previous}'],
    },
    {
      name: 'help',

      weight: long,
      phrases: ['help [me]', 'what can you do', 'what can i say'],
      typed: ['what do you understand', 'what can i ask [you]', 'how does this work', 'commands', 'options'],
      replies: [
        'Say a number or a row of digits and I read it back. Ask me what seven plus five is, what time it is, or what day it is. Ask for a story, and interrupt me whenever you like. Say repeat that, or goodbye when you are done.',
      ],
    },
    {
      name: 'who',

      weight: long,
      phrases: ['who are you', "(what is | what's) your name"],
      typed: ['are you (real | human | a robot | a person | there)', 'whats your name', 'what are you'],
      replies: [
        'I am Parley, a small voice agent that runs on this machine alone. I understand a few dozen sentences. Say help to hear them.',
      ],
    },
    {
      name: 'how',

      weight: long,
      phrases: ['how are you'],
      typed: ['how are you (doing | today)', "how's it going", 'how do you do', "what's up"],
      replies: ['I am well, thank you. Every sample arrives on time. What can I do for you?'],
    },
    {
      name: 'hello',

      weight: long,
      phrases: ['hello', 'good morning', 'good evening'],
      typed: ['hi [there]', 'hello [there | again | parley]', 'hi parley', 'hey', 'hey there', 'good afternoon', 'good day'],
      replies: ['Hello! Say help to hear what I understand.', 'Hello again. What can I do for you?'],
    },
    {
      name: 'thanks',

      weight: long,
      phrases: ['thank you [very much]'],
      typed: ['thanks [a lot | very much]', 'thank you so much', 'many thanks', 'cheers'],
      replies: ['You are welcome.', 'My pleasure.'],
    },
    {
      name: 'goodbye',

      weight: long,
      phrases: ['goodbye', 'good bye', 'bye bye', 'hang up', 'end the call'],
      typed: [
        'bye',
        'good night',
        'see you [later | soon]',
        'that is all',
        "that's all",
        'end call',
        'quit',
        'exit',
        '(goodbye | bye) parley',
      ],
      replies: ['Goodbye, and thank you for calling.'],
      ends_call: true,
    },
  ],
  not_understood: [
    'I did not catch that. You can say a number, ask for the time, or ask for a story.',
    'Sorry, that is not among the sentences I know. Say help to hear them.',
    'I heard you, but I did not understand. Try: what is seven plus five?',
    'I missed that. Short sentences work best, for example: what time is it?',
  ],
};
